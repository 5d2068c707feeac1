// stack/component: what a local component is, and what is remembered about it between runs.

import type { Log } from '../runtime/log.ts'

export const components = ['postgres', 'kafka', 'clickhouse'] as const
export type Component = (typeof components)[number]

/** Where clients connect: a Postgres URL, a `host:port`, an HTTP URL and the port of ClickHouse's native protocol. */
export interface Endpoints {
  postgres?: string
  kafka?: string
  clickhouse?: string
  clickhouseNative?: string
}

/** Ports by purpose, all on 127.0.0.1. */
export type Ports = Readonly<Record<string, number>>

/** A process by id and start time, so that a recycled id is never mistaken for it. */
export interface ProcessId {
  readonly pid: number
  readonly startedAt: string
}

/** What every step of starting a component works with. */
export interface StackContext {
  /** Absolute directory of the stack (`.millrace`). */
  readonly directory: string
  readonly log: Log
  readonly signal: AbortSignal
  /** Where downloads are kept for all checkouts. */
  readonly cache: string
}

/** One kind of component: how to build its files, run it, recognise it and ask it whether it is ready. */
export interface Server {
  readonly name: Component
  /** The ports it needs, by purpose. */
  readonly portNames: readonly string[]
  /** Arguments that together appear, each exactly, only on the command line of this component of this directory. */
  commandLineMarkers(data: string): readonly string[]
  /** Fails when this machine lacks a program or package that the component needs. Starts and writes nothing. */
  checkMachine(): Promise<unknown>
  /** Checks the machine, builds the data directory if there is none, and returns it. Leaves nothing half done. */
  prepare(context: StackContext, data: string | undefined): Promise<string>
  /** Removes what a killed predecessor left behind, and says how to run the component in the foreground. */
  command(context: StackContext, data: string, ports: Ports): Promise<Command>
  /**
   * Resolves when a real query was answered by the server of this data directory: on a port that two stacks chose at
   * the same time, the other's would answer. Throws whatever the driver says otherwise.
   */
  query(ports: Ports, data: string): Promise<void>
  endpoints(ports: Ports): Endpoints
  /** The signal that stops it cleanly. */
  readonly stopSignal: NodeJS.Signals
}

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly cwd?: string
  readonly uid?: number
  readonly gid?: number
}
