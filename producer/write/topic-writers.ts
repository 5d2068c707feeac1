// producer/write/topic-writers: opens a generation's topics for writing, at their ends.

import { AvroWriter } from '../../contract/avro-writer.ts'
import { deadLetterPartitions } from '../../contract/dead-letter.ts'
import { deadLettersTopic, type Generation, type Watermark } from '../../contract/generation.ts'
import type { Position } from '../../contract/position.ts'
import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import type { Fetcher } from '../../kafka/consumer/fetcher.ts'
import { type IdempotentProducer, openProducer } from '../../kafka/producer/idempotent-producer.ts'
import type { Config } from '../../runtime/config/config.ts'
import type { MillraceError } from '../../runtime/errors.ts'
import type { RegisteredTable } from '../capture/schemas.ts'
import { BackPressure } from './back-pressure.ts'
import { DeadLetters } from './dead-letters.ts'
import { checkEnds, lastDeadLetter, lastTableRecords } from './last-positions.ts'
import { type LastRecordHead, Replay } from './replay.ts'
import { TableWriter } from './table-writer.ts'

export interface TopicWritersOptions {
  readonly config: Config
  readonly kafka: KafkaConnection
  readonly fetcher: Fetcher
  readonly generation: Generation
  /** In the order of the generation's tables. */
  readonly tables: readonly RegisteredTable[]
  /** The last watermark. The topics must contain everything that it covers. */
  readonly watermark: Watermark | undefined
  onDurable(lsn: number): void
  onError(error: MillraceError): void
  readonly signal: AbortSignal
}

export interface TopicWriters {
  readonly kafkaProducer: IdempotentProducer
  readonly backPressure: BackPressure
  readonly writers: readonly TableWriter[]
  readonly deadLetters: DeadLetters
  /** Compares the changes that the source sends again with the topics. */
  readonly replay: Replay
  /** End offsets: every durable record is below them. */
  ends(): Pick<Watermark, 'offsets' | 'letters' | 'truncated'>
}

/**
 * The Kafka producer is opened before the last records are read. It then notices a record that
 * another writer appends in between. In the other order, it would take that record for its own.
 * @throws {MillraceError} TOPIC_MISSING, TOPIC_PARTITIONS_CHANGED; OFFSETS_MISSING when a topic
 *   ends before the watermark
 */
export async function openTopicWriters(options: TopicWritersOptions): Promise<TopicWriters> {
  const { config, kafka, generation, tables, watermark, onDurable, onError, signal } = options
  const letters = deadLettersTopic(config.name, generation.number)
  const topics = generation.tables.map(({ topic, partitions }) => ({ name: topic, partitions }))
  // The partition of the consumer's dead letters has another writer.
  topics.push({ name: letters, partitions: Object.keys(deadLetterPartitions).length })
  const kafkaProducer = await openProducer(kafka, {
    topics,
    compression: config.kafka.compression,
    onDurable,
    onError,
    signal,
  })
  const ends = () => {
    const { endOffsets } = kafkaProducer.durable()
    return { offsets: endOffsets.slice(0, tables.length), letters: endOffsets.at(-1)![deadLetterPartitions.producer]! }
  }
  const backPressure = new BackPressure(kafkaProducer)
  const writer = new AvroWriter()
  const { maxRecordBytes } = config.kafka
  const truncatedAt = new Map(watermark?.truncated)
  const durable = watermark?.lsn ?? 0
  const shared = { appender: backPressure, maxRecordBytes, durable }
  try {
    if (watermark) checkEnds(options, watermark, ends())
    const writers: TableWriter[] = []
    const heads: LastRecordHead[] = []
    const lastRecords = await lastTableRecords(options, tables)
    for (const [topicIndex, registered] of tables.entries()) {
      const { topic } = generation.tables[topicIndex]!
      const ofTable = lastRecords[topicIndex]!
      heads.push(...ofTable.filter(record => record !== undefined))
      const known = withExpired(ofTable, ends().offsets[topicIndex]!, durable)
      const before = { lastPositions: known, truncatedAt: truncatedAt.get(topicIndex) }
      writers.push(new TableWriter({ ...registered, ...shared, ...before, topic, topicIndex, writer }))
    }
    const deadLetters = new DeadLetters({
      ...shared,
      topicIndex: tables.length,
      lastPosition: await lastDeadLetter(options),
    })
    const read = () => ({ ...ends(), truncated: truncationsOf(writers) })
    return { kafkaProducer, backPressure, writers, deadLetters, replay: new Replay(heads), ends: read }
  } catch (error) {
    await kafkaProducer.close()
    throw error
  }
}

/**
 * An ordinary table gets a new file only by a TRUNCATE that the stream contains. A partition may
 * have been truncated alone.
 */
function truncationsOf(writers: readonly TableWriter[]): [table: number, lsn: number][] {
  return writers.flatMap(({ captured, truncatedAt }, table): [number, number][] =>
    captured.kind === 'p' && truncatedAt > 0 ? [[table, truncatedAt]] : [],
  )
}

/**
 * Retention may have removed every record of a partition. The watermark still proves that there
 * were some.
 */
function withExpired(
  lastPositions: readonly (Position | undefined)[],
  ends: readonly number[],
  durable: number,
): (Position | undefined)[] {
  const expired = { lsn: durable, ordinal: -1 }
  return lastPositions.map((last, partition) => last ?? (ends[partition] === 0 ? undefined : expired))
}
