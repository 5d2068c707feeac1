// producer/catalog/catalog: what a generation remembers of the source's catalog, in a compacted
// topic.
// Every value is JSON.

import { catalogTopic, type Generation } from '../../contract/generation.ts'
import { readCompacted } from '../../kafka/consumer/compacted-topic.ts'
import { openProducer } from '../../kafka/producer/idempotent-producer.ts'
import type { SourceTable } from '../../postgres/catalog/catalog.ts'
import type { PublicationFacts, TableFacts, Xid } from '../../postgres/catalog/facts.ts'
import { orAborted } from '../../runtime/wait.ts'
import { generationChanged } from '../capture/source.ts'
import type { ProducerContext } from '../context.ts'

/** Record of one table. Its key is the name of the table's topic. */
export interface CatalogRecord {
  /** The table as it is captured. */
  readonly source: SourceTable
  /** The facts of the last look. All changes before were harmless. */
  readonly facts: TableFacts
  /** The work of all older transactions was visible when the facts were read. */
  readonly seen: Xid
  /** LSN of the last TRUNCATE that the stream had sent at that time; 0 without one. */
  readonly truncatedAt: number
}

export interface Catalog {
  readonly publication: PublicationFacts
  /** Records in the order of the generation's tables. */
  readonly tables: readonly CatalogRecord[]
}

type CatalogContext = Pick<ProducerContext, 'config' | 'kafka' | 'fetcher' | 'signal'>

const publicationKey = 'publication'

/**
 * Writes all records, and resolves once they are durable. Only the holder of the generation's lock
 * may write.
 */
export async function writeCatalog(
  context: CatalogContext,
  generation: Generation,
  { publication, tables }: Catalog,
): Promise<void> {
  const records = tables.map((record, index) => [generation.tables[index]!.topic, record] as const)
  await write(context, generation, [[publicationKey, publication], ...records])
}

/** Writes records of some tables, by the names of their topics. Resolves once they are durable. */
export function updateCatalog(
  context: CatalogContext,
  generation: Generation,
  records: ReadonlyMap<string, CatalogRecord>,
): Promise<void> {
  return write(context, generation, [...records])
}

async function write(
  { kafka, config, signal }: CatalogContext,
  { number }: Generation,
  records: readonly (readonly [string, object])[],
): Promise<void> {
  if (records.length === 0) return
  const topics = [{ name: catalogTopic(config.name, number), partitions: 1 }]
  const kafkaProducer = await openProducer(kafka, {
    topics,
    compression: 'gzip',
    onDurable: () => {},
    onError: () => {},
    signal,
  })
  try {
    for (const [name, record] of records) {
      const key = Buffer.from(name)
      const bytes = Buffer.concat([key, Buffer.from(JSON.stringify(record))])
      kafkaProducer.append(0, 0, bytes, 0, key.length, key.length, bytes.length)
    }
    await orAborted(kafkaProducer.flush(), signal)
  } finally {
    await kafkaProducer.close()
  }
}

/** @throws {MillraceError} GENERATION_CHANGED when a table is missing */
export async function readCatalog(
  { config, fetcher, signal }: CatalogContext,
  { number, tables }: Generation,
): Promise<Catalog> {
  const values = await readCompacted(fetcher, catalogTopic(config.name, number), signal)
  const read = (key: string): unknown => {
    const json = values.get(key)
    if (json !== undefined) return JSON.parse(json)
    throw generationChanged('there is no record of the table as it was captured', key)
  }
  const publication = read(publicationKey) as PublicationFacts
  return { publication, tables: tables.map(({ topic }) => read(topic) as CatalogRecord) }
}
