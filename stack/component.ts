// stack/component: the interface of an embedded server, and its state between runs.

import type { Log } from '../runtime/log.ts'

export const components = ['postgres', 'kafka', 'clickhouse'] as const
export type Component = (typeof components)[number]

/**
 * Where clients connect: a Postgres URL, a `host:port`, an HTTP URL and the port of ClickHouse's
 * native protocol.
 */
export interface Endpoints {
  postgres?: string
  kafka?: string
  clickhouse?: string
  clickhouseNative?: string
}

/** Ports by purpose, all on 127.0.0.1. */
export type Ports = Readonly<Record<string, number>>

/** A process by id and start time, so a reused id does not match. */
export interface ProcessId {
  readonly pid: number
  readonly startedAt: string
}

/** Arguments of every step of a start. */
export interface StackContext {
  /** Absolute directory of the stack (`.millrace`). */
  readonly directory: string
  readonly log: Log
  readonly signal: AbortSignal
  /** Directory of downloads, shared by all checkouts. */
  readonly cache: string
}

/** One kind of server: how to prepare its files, run it, recognise it and check it. */
export interface Server {
  readonly name: Component
  /** Its ports by purpose. */
  readonly portNames: readonly string[]
  /** Arguments that only the command line of this server of this directory contains. */
  commandLineMarkers(data: string): readonly string[]
  /** Fails when a needed program or package is missing. Starts and writes nothing. */
  checkMachine(): Promise<unknown>
  /** Creates the data directory if it is missing, atomically, and returns it. */
  prepare(context: StackContext, data: string | undefined): Promise<string>
  /** Removes leftovers of a killed process, and returns the command that runs the server. */
  command(context: StackContext, data: string, ports: Ports): Promise<Command>
  /**
   * Resolves when the server of this data directory has answered a query. It checks the directory,
   * because two stacks can choose the same port at the same time. Throws the driver's error
   * otherwise.
   */
  query(ports: Ports, data: string): Promise<void>
  endpoints(ports: Ports): Endpoints
  /** The signal for a clean stop. */
  readonly stopSignal: NodeJS.Signals
}

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly cwd?: string
  readonly uid?: number
  readonly gid?: number
}
