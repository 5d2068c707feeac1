// test/support/pipelines/pipeline: one pipeline on shared servers: its own database, name and
// configuration, its services as processes.
// `verify` and both databases' own answers are the oracle.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { DeadLetter } from '../../../contract/dead-letter.ts'
import { deadLettersTopic } from '../../../contract/generation.ts'
import { parseLsn } from '../../../contract/position.ts'
import { loadConfig } from '../../../runtime/config/config.ts'
import { type Verification, verify } from '../../../verify/verify.ts'
import { until } from '../harness/suite.ts'
import { createDatabase, type TestDatabase } from '../servers/postgres.ts'
import { quietLog, type Servers } from '../servers/services.ts'
import { readTopic } from '../servers/topic.ts'
import { Worker, type WorkerName } from './worker.ts'

export interface PipelineOptions {
  /** SQL that runs in the new database before the producer captures it. */
  readonly setup?: string
  /** Section `tables` of the configuration. Default: all of `public`. */
  readonly tables?: Readonly<Record<string, unknown>>
  /** More settings. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Clauses of CREATE DATABASE, such as an encoding. */
  readonly database?: string
  /**
   * Start the producer and the consumer, and wait until the initial load is visible. Default: true.
   */
  readonly start?: boolean
}

type Row = Readonly<Record<string, string | null>>

const verifyTimeoutMs = 100_000
let count = 0

/**
 * A running pipeline with a visible initial load. Disposing ends its processes and drops its
 * objects.
 */
export async function startPipeline(services: Servers, options: PipelineOptions = {}): Promise<Pipeline> {
  const directory = await mkdtemp(join(tmpdir(), 'pipeline-'))
  const database = await createDatabase(services.endpoints.postgres!, options.database)
  const pipeline = new Pipeline(services, { directory, database })
  try {
    await pipeline.configure({ tables: options.tables ?? { 'public.*': {} }, ...options.settings })
    if (options.setup !== undefined) await pipeline.sql(options.setup)
    if (options.start ?? true) {
      pipeline.start()
      await pipeline.settle()
    }
    return pipeline
  } catch (error) {
    await pipeline[Symbol.asyncDispose]()
    throw error
  }
}

export class Pipeline {
  readonly name = `p${process.pid}_${++count}`
  readonly producer: Worker
  readonly consumer: Worker
  readonly services: Servers
  readonly directory: string
  /** Address of the pipeline's database. */
  readonly psqlUrl: string
  readonly #database: TestDatabase
  readonly #clients: pg.Client[] = []
  #client: pg.Client | undefined
  #members = 0

  constructor(services: Servers, { directory, database }: { directory: string; database: TestDatabase }) {
    this.services = services
    this.directory = directory
    this.#database = database
    this.psqlUrl = database.url
    this.producer = this.worker('producer', 'producer')
    this.consumer = this.worker('consumer', 'consumer')
  }

  /** A service that runs `millrace ARGS` for this pipeline. It is not started yet. */
  worker(name: WorkerName, ...args: string[]): Worker {
    return new Worker(name, [...args, '--config', this.#configFile, '--data', this.directory])
  }

  /** Another consumer with its own directory, as on another machine. It is not started yet. */
  member(): Worker {
    const directory = join(this.directory, `member-${++this.#members}`)
    return new Worker('consumer', ['consumer', '--config', this.#configFile, '--data', directory])
  }

  get #configFile(): string {
    return join(this.directory, 'millrace.yaml')
  }

  /** Writes the configuration for services that are started from now on. JSON is YAML. */
  async configure({ source, kafka, ...settings }: Readonly<Record<string, unknown>>): Promise<void> {
    const { endpoints } = this.services
    const config = {
      name: this.name,
      source: { url: this.psqlUrl, ...(source as object | undefined) },
      kafka: { brokers: [endpoints.kafka], partitions: 2, ...(kafka as object | undefined) },
      clickhouse: { url: endpoints.clickhouse },
      log: { format: 'text' },
      ...settings,
    }
    await writeFile(this.#configFile, JSON.stringify(config, null, 2))
  }

  /** Starts the producer and the consumer unless they run. */
  start(): void {
    for (const worker of [this.producer, this.consumer]) if (!worker.running) worker.start()
  }

  /**
   * Rows of the last statement, with every value as Postgres' text. Uses one session, which is
   * opened again after a loss.
   */
  async sql<R extends object = Row>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    if (this.#client === undefined) {
      this.#client = await this.connect()
      this.#client.once('end', () => {
        this.#client = undefined
      })
    }
    const results: pg.QueryResult<R> | pg.QueryResult<R>[] = await this.#client.query<R>(text, [...values])
    return (Array.isArray(results) ? results.at(-1) : results)?.rows ?? []
  }

  /** Another session. Values come as Postgres' text. The pipeline closes it. */
  async connect(): Promise<pg.Client> {
    const types = { getTypeParser: () => (text: string) => text }
    const client = new pg.Client({ connectionString: this.psqlUrl, types: types as pg.CustomTypesConfig })
    client.on('error', () => {})
    await client.connect()
    this.#clients.push(client)
    return client
  }

  /**
   * Rows of a SELECT in the newest generation's database, with every value as text, over plain
   * HTTP.
   */
  async clickhouse<R extends object = Row>(text: string): Promise<R[]> {
    const settings = new URLSearchParams({
      database: await this.database(),
      output_format_json_quote_64bit_integers: '1',
    })
    const response = await fetch(`${this.services.endpoints.clickhouse}/?${settings}`, {
      method: 'POST',
      body: `${text} FORMAT JSONEachRow`,
    })
    const body = await response.text()
    if (!response.ok) throw new Error(`ClickHouse: ${body.slice(0, 1000)}\n${text.slice(0, 500)}`)
    return body
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as R)
  }

  /** Name of the newest generation's database. */
  async database(): Promise<string> {
    const text = `SELECT name FROM system.databases WHERE match(name, '^${this.name}_[0-9]+$') ORDER BY length(name) DESC, name DESC LIMIT 1`
    const response = await fetch(`${this.services.endpoints.clickhouse}/`, { method: 'POST', body: text })
    const name = (await response.text()).trim()
    if (!name) throw new Error(`ClickHouse has no database of ${this.name} yet`)
    return name
  }

  /**
   * Waits until all committed changes are visible.
   * @throws {Error} with the logs, after the limit or when a service ends
   */
  async settle(timeoutMs = 60_000): Promise<void> {
    const [now] = await this.sql<{ lsn: string }>('SELECT pg_current_wal_insert_lsn() AS lsn')
    const target = parseLsn(now!.lsn)
    const reached = async () => {
      const [row] = await this.clickhouse<{ lsn: string }>("SELECT max(lsn) AS lsn FROM watermark WHERE scope = ''")
      return Number(row?.lsn) >= target
    }
    await this.until(reached, { what: `everything up to ${now!.lsn} is visible in ClickHouse`, timeoutMs })
  }

  /**
   * Like the suite's `until`, but fails at once, with the logs, when a service has ended by itself.
   */
  async until(condition: () => unknown, options: { what: string; timeoutMs?: number }): Promise<void> {
    const ended = () => [this.producer, this.consumer].find(worker => worker.end !== undefined)
    try {
      await until(async () => ended() !== undefined || (await condition()), options)
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.logs()}`, { cause: error })
    }
    if (ended()) throw new Error(`the ${ended()!.name} ended while waiting for: ${options.what}\n${this.logs()}`)
  }

  /** Compares every table and report with Postgres. */
  async verify(): Promise<Verification> {
    const { endpoints } = this.services
    const clickhouse = { url: endpoints.clickhouse!, user: 'default', password: '' }
    const config = loadConfig({
      file: this.#configFile,
      flags: { directory: this.directory },
      env: {},
      cwd: this.directory,
    })
    const signal = AbortSignal.timeout(verifyTimeoutMs)
    const late = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error(`verify still ran after ${verifyTimeoutMs} ms`)))
    })
    const services = { postgres: this.psqlUrl, clickhouse }
    try {
      return await Promise.race([verify({ config, services, log: quietLog(), signal }), late])
    } catch (error) {
      throw new Error(`verify failed\n${this.logs()}`, { cause: error })
    }
  }

  /** Waits for all committed changes and asserts that every table and report is equal. */
  async assertEqual(timeoutMs?: number): Promise<Verification> {
    await this.settle(timeoutMs)
    const result = await this.verify()
    const compared = Object.entries({ ...result.tables, ...result.reports })
    const differing = compared.filter(([, { state }]) => state !== 'equal')
    const lines = [...differing, ...Object.entries(result.names)].map(
      ([name, each]) => `${name}: ${JSON.stringify(each)}`,
    )
    if (!result.ok) throw new Error(`${result.outcome} at ${result.lsn}:\n${lines.join('\n')}\n${this.logs()}`)
    if (Object.keys(result.tables).length === 0) throw new Error('nothing was compared')
    return result
  }

  async deadLetters(): Promise<DeadLetter[]> {
    const generation = Number(/\d+$/.exec(await this.database())![0])
    const records = await readTopic(this.services.endpoints.kafka!, deadLettersTopic(this.name, generation))
    return records.map(({ value }) => JSON.parse(String(value)) as DeadLetter)
  }

  /** The recent logs of both services. */
  fullLogs(): string {
    return this.producer.log + this.consumer.log
  }

  /** The ends of both logs. */
  logs(): string {
    return [this.producer, this.consumer].map(worker => `${worker.name}:\n${worker.tail()}`).join('\n\n')
  }

  /**
   * Drops the stable views too, because the next pipeline has tables of the same names. A server
   * that is down keeps them.
   */
  async #dropWarehouse(): Promise<void> {
    const statement = async (text: string) => {
      const response = await fetch(this.services.endpoints.clickhouse!, { method: 'POST', body: text }).catch(
        () => undefined,
      )
      return response?.ok ? (await response.text()).split('\n').filter(Boolean) : []
    }
    const views = `SELECT concat('\`', database, '\`.\`', name, '\`') FROM system.tables WHERE position(as_select, 'pipeline ${this.name},') > 0 FORMAT TSVRaw`
    for (const view of await statement(views)) await statement(`DROP VIEW ${view}`)
    const databases = `SELECT name FROM system.databases WHERE match(name, '^${this.name}_[0-9]+$') FORMAT TSVRaw`
    for (const name of await statement(databases)) await statement(`DROP DATABASE ${name}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = [this.producer, this.consumer].filter(worker => worker.running)
    await Promise.all(running.map(worker => worker.stop()))
    await Promise.all(this.#clients.map(client => client.end().catch(() => {})))
    await this.#database.drop()
    await this.#dropWarehouse()
    await rm(this.directory, { recursive: true, force: true })
    const unclean = running.filter(({ end }) => end?.code !== 0)
    if (unclean.length > 0) throw new Error(`${unclean.map(({ name }) => name)} did not stop cleanly\n${this.logs()}`)
  }
}
