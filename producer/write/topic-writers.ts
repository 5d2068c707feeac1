// producer/write/topic-writers: a generation's topics, opened for writing where they end.

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
  /** The last one, which what the topics hold is held against. */
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
  /** What the source has to send again as it stands in the topics. */
  readonly replay: Replay
  /** Everything durable stands below these. */
  ends(): Pick<Watermark, 'offsets' | 'letters' | 'truncated'>
}

/**
 * The sink is opened before the tails are read: a record that someone else appends in between is noticed by the sink, while
 * the other way round it would be taken for ours.
 * @throws {MillraceError} TOPIC_MISSING, TOPIC_PARTITIONS_CHANGED; OFFSETS_MISSING when a topic ends before the watermark
 */
export async function openTopicWriters(options: TopicWritersOptions): Promise<TopicWriters> {
  const { config, kafka, generation, tables, watermark, onDurable, onError, signal } = options
  const letters = deadLettersTopic(config.name, generation.number)
  const topics = generation.tables.map(({ topic, partitions }) => ({ name: topic, partitions }))
  // The consumer's partition is another writer's.
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

/** An ordinary table that has another file lost its rows by a TRUNCATE that the stream tells; a partition may have lost them alone. */
function truncationsOf(writers: readonly TableWriter[]): [table: number, lsn: number][] {
  return writers.flatMap(({ captured, truncatedAt }, table): [number, number][] =>
    captured.kind === 'p' && truncatedAt > 0 ? [[table, truncatedAt]] : [],
  )
}

/** Where retention has removed every record of a partition, the watermark still says what it had. */
function withExpired(
  lastPositions: readonly (Position | undefined)[],
  ends: readonly number[],
  durable: number,
): (Position | undefined)[] {
  const expired = { lsn: durable, ordinal: -1 }
  return lastPositions.map((last, partition) => last ?? (ends[partition] === 0 ? undefined : expired))
}
