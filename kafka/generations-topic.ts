// kafka/generations-topic: the compacted topic with the state of every generation.
// The producer writes it; the consumer and `status` read it.

import { type Generation, generationFormat, generationsTopic } from '../contract/generation.ts'
import { MillraceError } from '../runtime/errors.ts'
import { orAborted } from '../runtime/wait.ts'
import type { KafkaConnection } from './client/cluster.ts'
import { readCompacted } from './consumer/compacted-topic.ts'
import type { Fetcher } from './consumer/fetcher.ts'
import { openProducer } from './producer/idempotent-producer.ts'

/**
 * The last record of every generation, in no particular order.
 * @throws {MillraceError} TOPIC_MISSING before the first one; GENERATION_CHANGED if another version
 *   of millrace recorded one
 */
export async function readGenerations(fetcher: Fetcher, pipeline: string, signal: AbortSignal): Promise<Generation[]> {
  const values = await readCompacted(fetcher, generationsTopic(pipeline), signal)
  return [...values].filter(([key, text]) => isRecord(key, text)).map(([, json]) => readGeneration(json, pipeline))
}

/**
 * A foreign record is no generation. If it has replaced one, that generation counts as missing, and
 * its reader reports that.
 */
export function isRecord(key: string, text: string): boolean {
  try {
    const record = JSON.parse(text) as Partial<Generation> | null
    return String(record?.number) === key && typeof record?.state === 'string'
  } catch {
    return false
  }
}

/**
 * Of a dropped or abandoned generation, only the number matters: it is never used again.
 * @throws {MillraceError} GENERATION_CHANGED
 */
export function readGeneration(json: string, pipeline: string): Generation {
  const generation = JSON.parse(json) as Generation
  const isGone = generation.state === 'abandoned' || generation.state === 'dropped'
  if (isGone || generation.format === generationFormat) return generation
  const version = (generation.format ?? 0) > generationFormat ? 'a later' : 'an earlier'
  throw new MillraceError('GENERATION_CHANGED', {
    what: `generation ${generation.number} was recorded by ${version} version of millrace, whose format this one cannot use`,
    where: `topic ${generationsTopic(pipeline)}`,
    next: 'use the version that recorded it; or let that version run `millrace reset topics`, and this version will load everything again',
  })
}

/** The generation to consume: the newest live one, or the newest loading one while none is live. */
export function newestGeneration(generations: readonly Generation[]): Generation | undefined {
  const byNumber = generations.toSorted((a, b) => b.number - a.number)
  return byNumber.find(({ state }) => state === 'live') ?? byNumber.find(({ state }) => state === 'loading')
}

/** Whether the producer has ever begun a generation. */
export async function hasGenerations(kafka: KafkaConnection, pipeline: string): Promise<boolean> {
  const { topicMetadata } = await kafka.metadata([generationsTopic(pipeline)])
  return topicMetadata.every(({ topicErrorCode }) => topicErrorCode === 0)
}

/**
 * Resolves once the record is durable.
 * @throws {MillraceError} as `openProducer`; the signal's reason, when it is unknown whether the
 *   record was written
 */
export async function writeGeneration(
  kafka: KafkaConnection,
  pipeline: string,
  generation: Generation,
  signal?: AbortSignal,
): Promise<void> {
  const topics = [{ name: generationsTopic(pipeline), partitions: 1, shared: true }]
  const ignore = () => {}
  const options = {
    topics,
    compression: 'none',
    onDurable: ignore,
    onError: ignore,
    ...(signal && { signal }),
  } as const
  const producer = await openProducer(kafka, options)
  try {
    const key = Buffer.from(String(generation.number))
    const record = Buffer.concat([key, Buffer.from(JSON.stringify(generation))])
    producer.append(0, 0, record, 0, key.length, key.length, record.length)
    await orAborted(producer.flush(), signal)
  } finally {
    await producer.close()
  }
}
