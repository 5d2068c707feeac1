// kafka/generations: the compacted topic that says what became of every generation.
// May know: contract/generation, kafka. The producer writes it; the consumer and `status` read it.

import { type Generation, generationsTopic } from '../contract/generation.ts'
import type { KafkaConnection } from './cluster.ts'
import { readCompacted } from './compacted.ts'
import type { Fetcher } from './fetch.ts'
import { openSink } from './sink.ts'

/** The last word on every generation, in no particular order. @throws {MillraceError} TOPIC_MISSING before the first one */
export async function readGenerations(fetcher: Fetcher, pipeline: string, signal: AbortSignal): Promise<Generation[]> {
  const values = await readCompacted(fetcher, generationsTopic(pipeline), signal)
  return [...values.values()].map(json => JSON.parse(json) as Generation)
}

/** The generation to fold: the newest live one; one that is still loading counts only while none is live. */
export function newestGeneration(generations: readonly Generation[]): Generation | undefined {
  const byNumber = generations.toSorted((a, b) => b.number - a.number)
  return byNumber.find(({ state }) => state === 'live') ?? byNumber.find(({ state }) => state === 'loading')
}

/** Whether the producer has ever begun one. */
export async function hasGenerations(kafka: KafkaConnection, pipeline: string): Promise<boolean> {
  const { topicMetadata } = await kafka.metadata([generationsTopic(pipeline)])
  return topicMetadata.every(({ topicErrorCode }) => topicErrorCode === 0)
}

/** Resolves once the record is durable. */
export async function writeGeneration(kafka: KafkaConnection, pipeline: string, generation: Generation): Promise<void> {
  const topics = [{ name: generationsTopic(pipeline), partitions: 1, shared: true }]
  const sink = await openSink(kafka, { topics, compression: 'none', onDurable: () => {}, onError: () => {} })
  try {
    const key = Buffer.from(String(generation.number))
    const record = Buffer.concat([key, Buffer.from(JSON.stringify(generation))])
    sink.append(0, 0, record, 0, key.length, key.length, record.length)
    await sink.flush()
  } finally {
    await sink.close()
  }
}
