// consumer/generation: which generation the consumer reads, and when it changes to another one.

import { type Generation, generationsTopic } from '../contract/generation.ts'
import type { KafkaConnection } from '../kafka/client/cluster.ts'
import type { Fetcher } from '../kafka/consumer/fetcher.ts'
import { hasGenerations, newestGeneration, readGenerations } from '../kafka/generations-topic.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { retry } from '../runtime/retry.ts'
import { sleep } from '../runtime/wait.ts'

const askEveryMs = 200
/** A broker that has just started may not know a topic for a moment. */
const missingToleranceMs = 30_000

export interface GenerationSource {
  readonly connection: KafkaConnection
  readonly fetcher: Fetcher
  readonly pipeline: string
  readonly log: Log
}

/**
 * The newest live generation, else the newest loading one. Waits for Kafka and for the first
 * generation.
 */
export async function waitForGeneration(source: GenerationSource, signal: AbortSignal): Promise<Generation> {
  for (let asked = 0; ; asked++) {
    const generation = await newest(source, signal)
    if (generation !== undefined) return generation
    if (asked === 0) source.log.info('waiting for the producer to begin a generation')
    await sleep(askEveryMs, signal)
  }
}

/**
 * Resolves with a newer generation that the consumer must change to. Does not resolve while
 * `current` is the newest, nor while Kafka does not answer.
 * @throws {MillraceError} GENERATION_UNKNOWN when the topic of generations was deleted, or deleted
 *   and created again
 */
export async function untilReplaced(
  source: GenerationSource,
  current: Generation,
  signal: AbortSignal,
): Promise<Generation> {
  let seenAt = performance.now()
  for (;;) {
    const generations = await readKnown(source, signal)
    if (generations !== undefined) seenAt = performance.now()
    const isGone = performance.now() - seenAt > missingToleranceMs
    const own = generations?.find(({ number }) => number === current.number)
    if (isGone || (generations !== undefined && own?.id !== current.id)) throw generationLost(source, current)
    const generation = newestGeneration(generations ?? [])
    if (generation !== undefined && generation.number !== current.number) return generation
    await sleep(askEveryMs * 10, signal)
  }
}

function generationLost({ pipeline }: GenerationSource, { number, id }: Generation): MillraceError {
  return new MillraceError('GENERATION_UNKNOWN', {
    what: `the record of generation ${number}, id ${id}, which this consumer reads, is gone, or belongs to another generation`,
    where: `topic ${generationsTopic(pipeline)}`,
    next: 'restore the topic, or run millrace reset topics; everything is then loaded again, into another database',
  })
}

/**
 * Whether the consumer failed because the producer abandoned the load of the generation. The
 * producer first deletes the topics, and then marks the generation as abandoned. Pauses briefly
 * between the two.
 */
export async function wasAbandoned(
  source: GenerationSource,
  { number }: Generation,
  { error, signal }: { error: unknown; signal: AbortSignal },
): Promise<boolean> {
  const generations = await listGenerations(source, signal)
  const state = generations.find(generation => generation.number === number)?.state
  if (state === 'abandoned') return true
  if (state !== 'loading' || !(error instanceof MillraceError) || error.code !== 'TOPIC_MISSING') return false
  await sleep(askEveryMs * 10, signal)
  return true
}

async function newest(source: GenerationSource, signal: AbortSignal): Promise<Generation | undefined> {
  return newestGeneration(await listGenerations(source, signal))
}

/** All generations; an empty list before the first one. */
export async function listGenerations(source: GenerationSource, signal: AbortSignal): Promise<Generation[]> {
  return (await readKnown(source, signal)) ?? []
}

/** Undefined without a topic of generations. Retries while Kafka does not answer. */
function readKnown(
  { connection, fetcher, pipeline, log }: GenerationSource,
  signal: AbortSignal,
): Promise<Generation[] | undefined> {
  const read = async () =>
    (await hasGenerations(connection, pipeline)) ? readGenerations(fetcher, pipeline, signal) : undefined
  return retry(read, { what: 'read the generations', signal, log })
}
