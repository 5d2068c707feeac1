// bench/pipeline: new servers, and the services as processes, as a user runs them.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parse, stringify } from 'yaml'
import { type Child, startChild } from '../cli/child-process.ts'
import { type Clickhouse, connectClickhouse } from '../clickhouse/client.ts'
import type { ConsumerStatus } from '../consumer/status.ts'
import { type Client, connect } from '../postgres/client/client.ts'
import { packagePath } from '../runtime/files.ts'
import { createLog, type Log } from '../runtime/log.ts'
import { askStatus } from '../runtime/service-discovery.ts'
import { waitUntil } from '../runtime/wait.ts'
import { readState } from '../stack/state.ts'
import { down, reset, up } from '../stack/up.ts'
import { type ProcessUse, useOf } from './processes.ts'

export interface BenchStack {
  readonly directory: string
  readonly postgresUrl: string
  readonly kafka: string
  readonly clickhouseUrl: string
  readonly sql: Client
  readonly clickhouse: Clickhouse
  readonly log: Log
  close(): Promise<void>
}

/** Processes of all pipelines. Ctrl-C does not reach their process groups. */
const services: Child[] = []

function stopWhenInterrupted(directory: string, log: Log): void {
  const stop = async () => {
    await Promise.all(services.map(service => service.stop()))
    await down(directory, log)
    process.exit(130)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop())
}

/** New servers under `.millrace/bench`; data of an earlier run is deleted. */
export async function openBenchStack(): Promise<BenchStack> {
  const directory = resolve('.millrace/bench')
  const log = createLog('bench', 'warn', false)
  mkdirSync(directory, { recursive: true })
  await reset(directory, log)
  rmSync(join(directory, 'run'), { recursive: true, force: true })
  stopWhenInterrupted(directory, log)
  const { postgres, kafka, clickhouse } = await up({ directory, log })
  const sql = await connect(postgres!)
  const warehouse = connectClickhouse({ url: clickhouse!, user: 'default', password: '' })
  return {
    directory,
    postgresUrl: postgres!,
    kafka: kafka!,
    clickhouseUrl: clickhouse!,
    sql,
    clickhouse: warehouse,
    log,
    close: async () => {
      await sql.end()
      await warehouse.close()
      await down(directory, log)
    },
  }
}

/** The configuration of the sales model. */
export function salesSettings(): object {
  const directory = packagePath('model/sales')
  const { tables } = parse(readFileSync(join(directory, 'millrace.yaml'), 'utf8')) as { tables: object }
  return { tables, model: directory }
}

/** One pipeline over the stack: its configuration file, and its two services as processes. */
export class Pipeline {
  readonly name: string
  readonly #stack: BenchStack
  readonly #config: string
  producer: Child | undefined
  consumer: Child | undefined

  constructor(stack: BenchStack, name: string, settings: object) {
    this.name = name
    this.#stack = stack
    this.#config = join(stack.directory, `${name}.yaml`)
    writeFileSync(this.#config, stringify({ name, directory: stack.directory, ...settings }))
  }

  /** Database of the first generation. */
  get database(): string {
    return `${this.name}_1`
  }

  start(): void {
    this.startConsumer()
    this.startProducer()
  }

  startConsumer(): void {
    this.consumer = this.#start('consumer')
  }

  startProducer(): void {
    this.producer = this.#start('producer')
  }

  #start(service: string): Child {
    const child = startChild(`${this.name}-${service}`, ['--config', this.#config, service], this.#stack.directory)
    services.push(child)
    return child
  }

  async stop(): Promise<void> {
    await this.producer?.stop()
    await this.consumer?.stop()
  }

  consumerStatus(): Promise<ConsumerStatus | undefined> {
    return askStatus<ConsumerStatus>(this.#stack.directory, this.name, 'consumer')
  }

  producerStatus<Status>(): Promise<Status | undefined> {
    return askStatus<Status>(this.#stack.directory, this.name, 'producer')
  }

  /** Waits until the initial load is visible. */
  async untilLoaded(): Promise<void> {
    await poll('the initial load', async () => (await this.consumerStatus())?.watermark !== undefined)
  }
}

const pollTimeoutMs = 300_000

export async function poll(what: string, condition: () => Promise<boolean>, everyMs = 10): Promise<void> {
  if (!(await waitUntil(condition, { timeoutMs: pollTimeoutMs, everyMs })))
    throw new Error(`${what}: not within ${pollTimeoutMs / 1000} s`)
}

/** CPU time and memory of every process by name. */
export function useOfAll(stack: BenchStack, pipeline: Pipeline): Record<string, ProcessUse> {
  return mapValues(pidsOf(stack, pipeline), useOf)
}

export function pidsOf(stack: BenchStack, pipeline: Pipeline): Record<string, number> {
  const state = readState(stack.directory)
  return {
    producer: pipeline.producer!.pid,
    consumer: pipeline.consumer!.pid,
    postgres: state.postgres!.pid!,
    kafka: state.kafka!.pid!,
    clickhouse: state.clickhouse!.pid!,
  }
}

export function mapValues<From, To>(
  values: Record<string, From>,
  map: (value: From, name: string) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value, name)]))
}
