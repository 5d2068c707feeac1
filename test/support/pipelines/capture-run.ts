// test/support/pipelines/capture-run: a database, a producer process on it, and all records of its
// topics, decoded.
// kafkajs reads the topics and avsc the records, so no code of the producer is used.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import {
  deadLettersTopic,
  type Generation,
  generationsTopic,
  type Watermark,
  watermarksTopic,
} from '../../../contract/generation.ts'
import { parseLsn } from '../../../contract/position.ts'
import { parseValueSchema } from '../../../contract/schema.ts'
import type { Table } from '../../../contract/table.ts'
import type { KafkaConnection } from '../../../kafka/client/cluster.ts'
import type { ProducerStatus } from '../../../producer/progress.ts'
import { askStatus } from '../../../runtime/service-discovery.ts'
import { until } from '../harness/suite.ts'
import { createDecoder, type DecodedRecord, type TextValues } from '../servers/decode.ts'
import { connectTo } from '../servers/kafka.ts'
import { createDatabase, type TestDatabase, uniqueName } from '../servers/postgres.ts'
import type { Servers } from '../servers/services.ts'
import { readTopic } from '../servers/topic.ts'
import { askHealth, type HealthAnswer } from './health.ts'
import { Worker } from './worker.ts'

export interface TopicRow extends DecodedRecord {
  readonly partition: number
  readonly offset: number
  readonly key: TextValues | null
}

export interface CaptureOptions {
  /** SQL run before the producer starts. */
  readonly setup: string
  readonly tables?: Readonly<Record<string, unknown>>
  readonly kafka?: Readonly<Record<string, unknown>>
  /** Setting `source.publication`. */
  readonly publication?: string | undefined
  /** Port of a proxy through which the producer connects to Postgres. */
  readonly port?: number
}

/** A producer that is not started yet. Disposing ends it and drops its database. */
export async function prepareCapture(services: Servers, options: CaptureOptions): Promise<CaptureRun> {
  const directory = await mkdtemp(join(tmpdir(), 'capture-'))
  const database = await createDatabase(services.endpoints.postgres!)
  await database.sql(options.setup)
  const run = new CaptureRun(services, directory, database)
  await run.configure(options)
  return run
}

export class CaptureRun {
  readonly name = uniqueName('c')
  readonly worker: Worker
  readonly database: TestDatabase
  readonly #broker: string
  readonly #directory: string

  constructor({ endpoints }: Servers, directory: string, database: TestDatabase) {
    this.#broker = endpoints.kafka!
    this.#directory = directory
    this.database = database
    this.worker = this.producer()
  }

  /** Another process of the same pipeline. */
  producer(...options: string[]): Worker {
    const file = join(this.#directory, 'millrace.yaml')
    return new Worker('producer', ['producer', ...options, '--config', file, '--data', this.#directory])
  }

  async configure({ tables, kafka, publication, port }: Omit<CaptureOptions, 'setup'>): Promise<void> {
    const url = new URL(this.database.url)
    if (port !== undefined) url.port = String(port)
    const config = {
      name: this.name,
      source: { url: url.href, heartbeatSeconds: 1, publication },
      kafka: { brokers: [this.#broker], partitions: 3, ...kafka },
      tables: tables ?? { 'public.*': {} },
      log: { format: 'text' },
    }
    await writeFile(join(this.#directory, 'millrace.yaml'), JSON.stringify(config))
  }

  sql(text: string): Promise<TextValues[]> {
    return this.database.sql<TextValues>(text)
  }

  status(): Promise<ProducerStatus | undefined> {
    return askStatus<ProducerStatus>(this.#directory, this.name, 'producer')
  }

  health(path: 'livez' | 'readyz'): Promise<HealthAnswer> {
    return askHealth({ directory: this.#directory, name: this.name }, 'producer', path)
  }

  /** Waits until all committed changes are durable in the topics. */
  async settle(timeoutMs = 60_000): Promise<void> {
    const [now] = await this.sql('SELECT pg_current_wal_insert_lsn()::text AS lsn')
    const target = parseLsn(now!.lsn!)
    const reached = async () => {
      if (this.worker.end) throw new Error(`the producer has ended\n${this.worker.tail()}`)
      return parseLsn((await this.status())?.durable ?? '0/0') >= target
    }
    try {
      await until(reached, { what: `everything before ${now!.lsn} is durable`, timeoutMs })
    } catch (cause) {
      throw new Error(`${(cause as Error).message}\n${this.worker.tail()}`, { cause })
    }
  }

  /** Runs an action on Kafka that the producer does not know of. */
  async kafka(work: (kafka: KafkaConnection) => Promise<void>): Promise<void> {
    const kafka = await connectTo(this.#broker)
    await work(kafka).finally(() => kafka.close())
  }

  /** The newest record of every generation. */
  async generations(): Promise<Generation[]> {
    const records = await readTopic(this.#broker, generationsTopic(this.name))
    const last = new Map(
      records.map(({ value }) => JSON.parse(String(value)) as Generation).map(each => [each.number, each]),
    )
    return [...last.values()]
  }

  async watermarks(generation = 1): Promise<Watermark[]> {
    const records = await readTopic(this.#broker, watermarksTopic(this.name, generation))
    return records.map(({ value }) => JSON.parse(String(value)) as Watermark)
  }

  async deadLetters(generation = 1): Promise<Buffer[]> {
    const records = await readTopic(this.#broker, deadLettersTopic(this.name, generation))
    return records.map(({ value }) => value!)
  }

  /** Rows with every value as Postgres prints it. */
  async printed(text: string): Promise<TextValues[]> {
    const types = { getTypeParser: () => (value: string) => value } as unknown as pg.CustomTypesConfig
    const { rows } = await this.database.client.query<TextValues>({ text, types })
    return rows
  }

  /** A table as its topic's schema describes it. */
  async table(name: string, generation = 1): Promise<Table> {
    const subject = `${this.name}.${generation}.public.${name}-value`
    const records = await readTopic(this.#broker, '_schemas')
    const values = records.flatMap(({ value }) => (value ? [value.toString()] : []))
    const schemas = values.map(value => JSON.parse(value) as { subject?: string; schema?: string })
    return parseValueSchema(schemas.find(each => each.subject === subject)!.schema!)
  }

  /** All records of a table's topic. */
  async records(table: Table, generation = 1): Promise<TopicRow[]> {
    const decoder = createDecoder(table)
    const records = await readTopic(this.#broker, `${this.name}.${generation}.${table.schema}.${table.name}`)
    return records.map(({ partition, offset, key, value }) => ({
      ...decoder.value(value!),
      partition,
      offset,
      key: key && decoder.key(key),
    }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker.stop()
    await this.database.drop()
    await rm(this.#directory, { recursive: true, force: true })
  }
}

/** Asserts that positions grow within each partition, from the first record to the last. */
export function checkOrder(records: readonly TopicRow[]): void {
  const last = new Map<number, TopicRow>()
  for (const record of records) {
    const before = last.get(record.partition)
    const grows = !before || record.lsn > before.lsn || (record.lsn === before.lsn && record.ordinal > before.ordinal)
    if (!grows) throw new Error(`partition ${record.partition} goes back: ${JSON.stringify([before, record])}`)
    last.set(record.partition, record)
  }
}

/**
 * The rows that result from applying every record. Throws for a create of a row that exists, and
 * for a change of a row that does not exist or that differs from the record's old image.
 */
export function applyRecords(records: readonly TopicRow[]): Map<string, TextValues> {
  const rows = new Map<string, TextValues>()
  for (const record of [...records].sort((a, b) => a.lsn - b.lsn || a.ordinal - b.ordinal)) {
    if (record.op === 't') {
      for (const [id, row] of rows) if (partitions.get(row) === record.partition) rows.delete(id)
      continue
    }
    const id = JSON.stringify(record.key)
    if (JSON.stringify(record.before) !== JSON.stringify(rows.get(id) ?? null)) {
      throw new Error(
        `${record.op} of ${id} at ${record.lsn}/${record.ordinal} does not fit ${JSON.stringify(rows.get(id))}`,
      )
    }
    if (!record.after) rows.delete(id)
    else {
      rows.set(id, record.after)
      partitions.set(record.after, record.partition)
    }
  }
  return rows
}

const partitions = new WeakMap<TextValues, number>()
