// producer/destination: a generation's topics, opened for writing where they end.
// May know: contract, kafka, runtime/config, producer.

import { AvroWriter } from '../contract/avro-writer.ts'
import { deadLetterPartitions } from '../contract/dead-letter.ts'
import { deadLettersTopic, type Generation } from '../contract/generation.ts'
import { readHead } from '../contract/head.ts'
import type { Position } from '../contract/position.ts'
import type { KafkaConnection } from '../kafka/cluster.ts'
import type { Fetcher } from '../kafka/fetch.ts'
import { openSink, type Sink } from '../kafka/sink.ts'
import { readTail } from '../kafka/tail.ts'
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
  endOffsets(): readonly (readonly number[])[]
}

/**
 * The sink is opened before the tails are read: a record that someone else appends in between is noticed by the sink, while
 * the other way round it would be taken for ours.
 * @throws {MillraceError} TOPIC_MISSING, TOPIC_PARTITIONS_CHANGED, RECORD_UNREADABLE
 */
export async function openDestination(options: DestinationOptions): Promise<Destination> {
  const { config, kafka, fetcher, generation, tables, onDurable, onError, signal } = options
  const letters = deadLettersTopic(config.name, generation.number)
  const topics = generation.tables.map(({ topic, partitions }) => ({ name: topic, partitions }))
  // The consumer's partition is another writer's.
  topics.push({ name: letters, partitions: Object.keys(deadLetterPartitions).length })
  const sink = await openSink(kafka, { topics, compression: config.kafka.compression, onDurable, onError })
  const backPressure = new BackPressure(sink)
  const writer = new AvroWriter()
  const { maxRecordBytes } = config.kafka
  try {
    const outputs: TableOutput[] = []
    for (const [topicIndex, { captured, schemaIds }] of tables.entries()) {
      const tails = await readTails(fetcher, generation.tables[topicIndex]!.topic, captured.partitions, signal)
      outputs.push(
        new TableOutput({ captured, topicIndex, schemaIds, maxRecordBytes, tails, sink: backPressure, writer }),
      )
    }
    const lastLetter = (await readTail(fetcher, letters, deadLetterPartitions.producer, signal))?.value
    const tail = lastLetter ? letterPosition(lastLetter) : undefined
    const deadLetters = new DeadLetters({ sink: backPressure, topicIndex: tables.length, maxRecordBytes, tail })
    const endOffsets = () => sink.durable().endOffsets.slice(0, tables.length)
    return { sink, backPressure, outputs, deadLetters, endOffsets }
  } catch (error) {
    await sink.close()
    throw error
  }
}

/** Position of the last record of each partition. */
async function readTails(
  fetcher: Fetcher,
  topic: string,
  partitions: number,
  signal: AbortSignal,
): Promise<(Position | undefined)[]> {
  const tails: (Position | undefined)[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const value = (await readTail(fetcher, topic, partition, signal))?.value
    tails.push(value ? readHead(value, 0, value.length) : undefined)
  }
  return tails
}
