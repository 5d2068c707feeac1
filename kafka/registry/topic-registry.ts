// kafka/registry/topic-registry: schemas in the compacted topic `_schemas`, shared with every
// pipeline of the cluster.

import { MillraceError } from '../../runtime/errors.ts'
import { orAborted } from '../../runtime/wait.ts'
import { ensureTopic } from '../client/admin.ts'
import type { KafkaConnection } from '../client/cluster.ts'
import { type Fetcher, openFetcher } from '../consumer/fetcher.ts'
import { readRange } from '../consumer/read-range.ts'
import { type IdempotentProducer, openProducer } from '../producer/idempotent-producer.ts'
import { noopKey, recordKey, recordValue, SchemaCatalog, type SchemaRecord } from './schema-catalog.ts'
import type { RegisteredSchema, SchemaStore } from './schema-store.ts'

const topic = '_schemas'
const brokersDefault = -1

/**
 * Creates the topic if it does not exist.
 * @throws {MillraceError} TOPIC_PARTITIONS_CHANGED when it has more than one partition; the
 *   signal's reason
 */
export async function openTopicRegistry(connection: KafkaConnection, signal?: AbortSignal): Promise<TopicRegistry> {
  const config = { 'cleanup.policy': 'compact', 'compression.type': 'producer' }
  await ensureTopic(connection, { name: topic, partitions: 1, replication: brokersDefault, config }, signal)
  const registry = new TopicRegistry(connection)
  try {
    await orAborted(registry.refresh(), signal)
    return registry
  } catch (error) {
    await registry.close()
    throw error
  }
}

export class TopicRegistry implements SchemaStore {
  readonly #connection: KafkaConnection
  readonly #fetcher: Fetcher
  readonly #catalog = new SchemaCatalog()
  readonly #stop = new AbortController()
  #nextOffset = 0
  #producer: Promise<IdempotentProducer> | undefined
  /** Registrations run one at a time, in the order of the calls. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(connection: KafkaConnection) {
    this.#connection = connection
    this.#fetcher = openFetcher(connection)
  }

  register(subject: string, schema: string): Promise<number> {
    return this.#inTurn(async () => {
      const known = this.#catalog.find(subject, schema)
      if (known) return known.id
      await this.#catchUp()
      while (this.#catalog.hidden().length > 0 || this.#catalog.find(subject, schema) === undefined)
        await this.#add(subject, schema)
      return this.#catalog.find(subject, schema)!.id
    })
  }

  async byId(id: number): Promise<string | undefined> {
    if (this.#catalog.byId(id) === undefined) await this.refresh()
    return this.#catalog.byId(id)
  }

  async latest(subject: string): Promise<RegisteredSchema | undefined> {
    return (await this.versions(subject)).at(-1)
  }

  /** Reads the topic once for all subjects. */
  async latestOf(subjects: readonly string[]): Promise<(RegisteredSchema | undefined)[]> {
    await this.refresh()
    return subjects.map(subject => this.#catalog.versions(subject).at(-1))
  }

  /** Ascending; empty for an unknown subject. */
  async versions(subject: string): Promise<RegisteredSchema[]> {
    await this.refresh()
    return this.#catalog.versions(subject)
  }

  async subjects(): Promise<string[]> {
    await this.refresh()
    return this.#catalog.subjects()
  }

  /** Reads the records written since the last read. */
  refresh(): Promise<void> {
    return this.#inTurn(() => this.#catchUp())
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#last.catch(() => undefined)
    await this.#producer?.then(producer => producer.close()).catch(() => undefined)
    this.#fetcher.close()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work, work)
    this.#last = done.catch(() => undefined)
    return done
  }

  /** @throws {MillraceError} BATCH_UNREADABLE, with a remedy that fits this topic */
  async #catchUp(): Promise<void> {
    try {
      await this.#readOn()
    } catch (error) {
      if (!(error instanceof MillraceError && error.code === 'BATCH_UNREADABLE')) throw error
      throw new MillraceError(error.code, {
        what: error.message,
        where: error.where ?? topic,
        next: 'set kafka.registry to the address of the schema registry that writes this topic; millrace then asks the registry, and does not read the topic',
        cause: error,
      })
    }
  }

  async #readOn(): Promise<void> {
    const [[start = 0], [end = 0]] = await Promise.all([
      this.#fetcher.startOffsets(topic, this.#stop.signal),
      this.#fetcher.endOffsets(topic, this.#stop.signal),
    ])
    const range = { topic, partition: 0, start: Math.max(start, this.#nextOffset), end }
    for await (const records of readRange(this.#fetcher, range, this.#stop.signal)) {
      const text = (from: number, to: number) => (from < 0 ? null : records.buffer.toString('utf8', from, to))
      for (let i = 0; i < records.count; i += 1)
        this.#catalog.apply(
          text(records.keyStarts[i]!, records.keyEnds[i]!),
          text(records.valueStarts[i]!, records.valueEnds[i]!),
        )
      this.#nextOffset = records.nextOffset
    }
  }

  /**
   * Writes one record and reads the topic, which shows whether another writer has written in
   * between.
   */
  async #add(subject: string, schema: string): Promise<void> {
    const write = async (producer: IdempotentProducer) => {
      const [hidden] = this.#catalog.hidden()
      if (hidden) return append(producer, this.#catalog.nextVersion(hidden.subject, hidden.schema, hidden.id))
      const id = this.#catalog.idOf(schema) ?? this.#catalog.newId(await claimOffset(producer))
      append(producer, this.#catalog.nextVersion(subject, schema, id))
    }
    await this.#write(write)
    await this.#catchUp()
  }

  /** A load registers two schemas per table, so the producer is kept open until it fails. */
  async #write(work: (producer: IdempotentProducer) => Promise<void>): Promise<void> {
    const { signal } = this.#stop
    this.#producer ??= openSchemasProducer(this.#connection, signal)
    const opened = this.#producer
    try {
      const producer = await opened
      await orAborted(
        work(producer).then(() => producer.flush()),
        signal,
      )
    } catch (error) {
      this.#producer = undefined
      await opened.then(producer => producer.close()).catch(() => undefined)
      throw error
    }
  }
}

function openSchemasProducer(connection: KafkaConnection, signal: AbortSignal): Promise<IdempotentProducer> {
  const topics = [{ name: topic, partitions: 1, shared: true }]
  const nothing = () => undefined
  return openProducer(connection, { topics, compression: 'none', onDurable: nothing, onError: nothing, signal })
}

async function claimOffset(producer: IdempotentProducer): Promise<number> {
  const key = Buffer.from(noopKey)
  producer.append(0, 0, key, 0, key.length, -1, -1)
  await producer.flush()
  return producer.durable().endOffsets[0]![0]! - 1
}

function append(producer: IdempotentProducer, record: SchemaRecord): void {
  const key = Buffer.from(recordKey(record))
  const source = Buffer.concat([key, Buffer.from(recordValue(record))])
  producer.append(0, 0, source, 0, key.length, key.length, source.length)
}
