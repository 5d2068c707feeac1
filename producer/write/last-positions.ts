// producer/write/last-positions: the last own record of each partition, and the check that none is
// missing.

import { deadLetterPartitions } from '../../contract/dead-letter.ts'
import { Envelope } from '../../contract/envelope.ts'
import { deadLettersTopic, type Generation, type Watermark } from '../../contract/generation.ts'
import { type Head, readHead } from '../../contract/head.ts'
import { formatLsn, type Position } from '../../contract/position.ts'
import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import type { Fetcher } from '../../kafka/consumer/fetcher.ts'
import {
  findLastRecord,
  type PartitionEnd,
  type RecordContent,
  readEndRecords,
} from '../../kafka/consumer/last-record.ts'
import type { Config } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { RegisteredTable } from '../capture/schemas.ts'
import { deadLetterPosition } from './dead-letters.ts'
import type { LastRecordHead } from './replay.ts'

interface LastRecordOptions {
  readonly config: Config
  readonly kafka: KafkaConnection
  readonly fetcher: Fetcher
  readonly generation: Generation
  readonly signal: AbortSignal
}

/**
 * The last own record in each partition of each table, in the tables' order; undefined where there
 * is none.
 */
export async function lastTableRecords(
  options: LastRecordOptions,
  tables: readonly RegisteredTable[],
): Promise<(LastRecordHead | undefined)[][]> {
  const { fetcher, generation, signal } = options
  const topics = generation.tables.map(({ topic }) => topic)
  const readers = new Map(tables.map((table, index) => [topics[index]!, headReader(table)]))
  const ranges = await fetcher.ranges(topics, signal)
  const places = topics.flatMap((topic, index) =>
    ranges[index]!.flatMap(({ start, end }, partition) => (start < end ? [{ topic, partition, offset: end - 1 }] : [])),
  )
  const heads = new Map<string, Head>()
  const keep = ({ topic, partition }: PartitionEnd, record: RecordContent) => {
    const head = readers.get(topic)!(record)
    if (head) heads.set(`${topic}/${partition}`, head)
  }
  await readEndRecords(fetcher, places, keep, signal)
  const found: (LastRecordHead | undefined)[][] = topics.map(() => [])
  for (const [index, topic] of topics.entries()) {
    for (const [partition, { start, end }] of ranges[index]!.entries()) {
      const find = () => lastOwnRecord(options, { topic, partition, headOf: readers.get(topic)! })
      const head = start < end ? (heads.get(`${topic}/${partition}`) ?? (await find())) : undefined
      found[index]!.push(head && { ...head, topic, partition })
    }
  }
  return found
}

/** Reads the head of an own record; undefined for any other record. */
function headReader({ captured, schemaIds }: RegisteredTable): (record: RecordContent) => Head | undefined {
  const envelope = new Envelope(captured.table, id => id === schemaIds.value)
  return ({ key, value }) => {
    const buffer = Buffer.concat([key ?? Buffer.alloc(0), value ?? Buffer.alloc(0)])
    const keyEnd = key?.length ?? 0
    const why = envelope.read(buffer, key ? 0 : -1, keyEnd, value ? keyEnd : -1, buffer.length)
    return why === undefined ? readHead(buffer, keyEnd, buffer.length) : undefined
  }
}

/** Position of the change of the producer's last dead letter. */
export function lastDeadLetter(options: LastRecordOptions): Promise<Position | undefined> {
  const topic = deadLettersTopic(options.config.name, options.generation.number)
  return lastOwnRecord(options, { topic, partition: deadLetterPartitions.producer, headOf: deadLetterPosition })
}

interface LastRecordQuery<T> {
  readonly topic: string
  readonly partition: number
  /** Undefined for a record of another writer. */
  headOf(record: RecordContent): T | undefined
}

/**
 * Finds the last own record of a partition. Records of other writers behind it do not show how far
 * this producer came. The consumer treats such records by its table's policy.
 */
async function lastOwnRecord<T>(
  { kafka, fetcher, signal }: LastRecordOptions,
  { topic, partition, headOf }: LastRecordQuery<T>,
): Promise<T | undefined> {
  const isOwn = (record: RecordContent) => headOf(record) !== undefined
  const { last, foreign } = await findLastRecord(fetcher, { topic, partition, isOwn }, signal)
  if (foreign !== undefined) {
    kafka.log.warn('another program writes to a topic of this pipeline', {
      topic,
      partition,
      firstOffset: foreign.offset,
      records: foreign.count,
    })
  }
  return last && headOf(last)
}

/**
 * The changes that a watermark covers were acknowledged to Postgres, which cannot send them again.
 * @param ends present end offsets of the topics
 * @throws {MillraceError} OFFSETS_MISSING
 */
export function checkEnds(
  { config, generation }: Pick<LastRecordOptions, 'config' | 'generation'>,
  watermark: Watermark,
  ends: Pick<Watermark, 'offsets' | 'letters'>,
): void {
  const check = (topic: string, partition: number, { end, needed }: { end: number; needed: number }) => {
    if (end >= needed) return
    throw new MillraceError('OFFSETS_MISSING', {
      what: `the topic ends at offset ${end}, and the watermark at LSN ${formatLsn(watermark.lsn)} covers everything below ${needed}: the last ${needed - end} records are lost, or the topic was deleted and created again`,
      where: `topic ${topic}, partition ${partition}`,
      next: 'Postgres may no longer have their changes; start a new generation: millrace producer --new-generation',
    })
  }
  for (const [index, { topic }] of generation.tables.entries()) {
    for (const [partition, needed] of watermark.offsets[index]!.entries())
      check(topic, partition, { end: ends.offsets[index]![partition]!, needed })
  }
  const letters = { end: ends.letters, needed: watermark.letters }
  check(deadLettersTopic(config.name, generation.number), deadLetterPartitions.producer, letters)
}
