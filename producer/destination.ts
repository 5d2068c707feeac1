// producer/destination: a generation's topics, opened for writing where they end.
// May know: contract, kafka, runtime/config, producer.

import { AvroWriter } from '../contract/avro-writer.ts'
import { deadLetterPartitions } from '../contract/dead-letter.ts'
import { Envelope } from '../contract/envelope.ts'
import { deadLettersTopic, type Generation, type Watermark } from '../contract/generation.ts'
import type { Position } from '../contract/position.ts'
import type { KafkaConnection } from '../kafka/cluster.ts'
import type { Fetcher } from '../kafka/fetch.ts'
import { openSink, type Sink } from '../kafka/sink.ts'
import { readTail, type TailRecord } from '../kafka/tail.ts'
import type { Config } from '../runtime/config.ts'
import type { MillraceError } from '../runtime/errors.ts'
import { BackPressure } from './back-pressure.ts'
import { DeadLetters, letterPosition } from './dead-letters.ts'
import { TableOutput } from './output.ts'
import type { RegisteredTable } from './schemas.ts'

export interface DestinationOptions {
  readonly config: Config
  readonly kafka: KafkaConnection
  readonly fetcher: Fetcher
  readonly generation: Generation
  /** In the order of the generation's tables. */
  readonly tables: readonly RegisteredTable[]
  /** The last that was written; undefined when the generation is only being loaded. */
  readonly last?: Watermark | undefined
  onDurable(lsn: number): void
  onError(error: MillraceError): void
  readonly signal: AbortSignal
}

export interface Destination {
  readonly sink: Sink
  readonly backPressure: BackPressure
  readonly outputs: readonly TableOutput[]
  readonly deadLetters: DeadLetters
  /** By table and partition: everything durable stands below. */
  endOffsets(): Watermark['offsets']
  truncated(): Watermark['truncated']
}

/**
 * The sink is opened before the tails are read: a record that someone else appends in between is noticed by the sink, while
 * the other way round it would be taken for ours.
 * @throws {MillraceError} TOPIC_MISSING, TOPIC_PARTITIONS_CHANGED
 */
export async function openDestination(options: DestinationOptions): Promise<Destination> {
  const { config, kafka, generation, tables, onDurable, onError } = options
  const letters = deadLettersTopic(config.name, generation.number)
  const topics = generation.tables.map(({ topic, partitions }) => ({ name: topic, partitions }))
  // The consumer's partition is another writer's.
  topics.push({ name: letters, partitions: Object.keys(deadLetterPartitions).length })
  const sink = await openSink(kafka, { topics, compression: config.kafka.compression, onDurable, onError })
  const backPressure = new BackPressure(sink)
  const writer = new AvroWriter()
  const { maxRecordBytes } = config.kafka
  const truncatedAt = new Map(options.last?.truncated)
  try {
    const outputs: TableOutput[] = []
    for (const [topicIndex, { captured, schemaIds }] of tables.entries()) {
      const topic = generation.tables[topicIndex]!.topic
      const envelope = new Envelope(captured.table, id => id === schemaIds.value)
      const tails: (Position | undefined)[] = []
      for (let partition = 0; partition < captured.partitions; partition++)
        tails.push(await ownTail(options, { topic, partition, positionOf: record => positionOf(envelope, record) }))
      outputs.push(
        new TableOutput({
          ...{ captured, topicIndex, schemaIds, maxRecordBytes, tails, sink: backPressure, writer },
          truncatedAt: truncatedAt.get(topicIndex),
        }),
      )
    }
    const lastLetter = { topic: letters, partition: deadLetterPartitions.producer, positionOf: letterPosition }
    const tail = await ownTail(options, lastLetter)
    const deadLetters = new DeadLetters({ sink: backPressure, topicIndex: tables.length, maxRecordBytes, tail })
    const endOffsets = () => sink.durable().endOffsets.slice(0, tables.length)
    return { sink, backPressure, outputs, deadLetters, endOffsets, truncated: () => truncationsOf(outputs) }
  } catch (error) {
    await sink.close()
    throw error
  }
}

/** An ordinary table that has another file lost its rows by a TRUNCATE that the stream tells; a partition may have lost them alone. */
function truncationsOf(outputs: readonly TableOutput[]): [table: number, lsn: number][] {
  return outputs.flatMap(({ captured, truncatedAt }, table): [number, number][] =>
    captured.kind === 'p' && truncatedAt > 0 ? [[table, truncatedAt]] : [],
  )
}

interface TailOf {
  readonly topic: string
  readonly partition: number
  /** Undefined for a record that is not ours. */
  positionOf(record: TailRecord): Position | undefined
}

/**
 * Position of the last record of ours in a partition: what somebody else has appended behind it says nothing about how far we had come.
 * The consumer deals with that record by its table's policy.
 */
async function ownTail(
  { kafka, fetcher, signal }: DestinationOptions,
  { topic, partition, positionOf }: TailOf,
): Promise<Position | undefined> {
  const isOwn = (record: TailRecord) => positionOf(record) !== undefined
  const { last, foreign } = await readTail(fetcher, { topic, partition, isOwn }, signal)
  if (foreign !== undefined) {
    kafka.log.warn('somebody else writes to a topic of this pipeline', {
      topic,
      partition,
      firstOffset: foreign.offset,
      records: foreign.count,
    })
  }
  return last && positionOf(last)
}

function positionOf(envelope: Envelope, { key, value }: TailRecord): Position | undefined {
  const buffer = Buffer.concat([key ?? Buffer.alloc(0), value ?? Buffer.alloc(0)])
  const keyEnd = key?.length ?? 0
  const why = envelope.read(buffer, key ? 0 : -1, keyEnd, value ? keyEnd : -1, buffer.length)
  return why === undefined ? { lsn: envelope.lsn, ordinal: envelope.ordinal } : undefined
}
