// consumer/generation: which generation to fold.

import { type Generation, generationsTopic } from '../contract/generation.ts'
import type { KafkaConnection } from '../kafka/client/cluster.ts'
import type { Fetcher } from '../kafka/consumer/fetcher.ts'
import { hasGenerations, newestGeneration, readGenerations } from '../kafka/generations-topic.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { retry } from '../runtime/retry.ts'
import { sleep } from '../runtime/wait.ts'

const askEveryMs = 200
/** Brokers may deny a topic for a moment when they have only just started. */
const missingToleranceMs = 30_000

export interface GenerationSource {
  readonly connection: KafkaConnection
  readonly fetcher: Fetcher
  readonly pipeline: string
  readonly log: Log
}

/** The newest generation that is live, or else being loaded; waits until Kafka answers and the producer has begun one. */
export async function waitForGeneration(source: GenerationSource, signal: AbortSignal): Promise<Generation> {
  for (let asked = 0; ; asked++) {
    const generation = await newest(source, signal)
    if (generation !== undefined) return generation
    if (asked === 0) source.log.info('waiting for the producer to begin a generation')
    await sleep(askEveryMs, signal)
  }
}

/**
 * Resolves when another generation should be folded instead; never while `current` stands, nor while Kafka does not answer.
 * @throws {MillraceError} GENERATION_UNKNOWN when the topic of generations was lost, or made anew
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
    if (isGone || (generations !== undefined && own?.id !== current.id)) throw recordLost(source, current)
    const generation = newestGeneration(generations ?? [])
    if (generation !== undefined && generation.number !== current.number) return generation
    await sleep(askEveryMs * 10, signal)
  }
}

function recordLost({ pipeline }: GenerationSource, { number, id }: Generation): MillraceError {
  return new MillraceError('GENERATION_UNKNOWN', {
    what: `the record of generation ${number}, id ${id}, which is being folded, is no longer there, or is of another generation`,
    where: `topic ${generationsTopic(pipeline)}`,
    next: 'restore the topic, or run millrace reset topics, after which everything is loaded anew into another database',
  })
}

/**
 * Whether the fold of a generation failed because its load was given up: its topics go first, then it is marked as abandoned.
 * Pauses for a moment while that is under way.
 */
export async function wasGivenUp(
  source: GenerationSource,
  { number }: Generation,
  { error, signal }: { error: unknown; signal: AbortSignal },
): Promise<boolean> {
  const generations = await known(source, signal)
  const state = generations.find(generation => generation.number === number)?.state
  if (state === 'abandoned') return true
  if (state !== 'loading' || !(error instanceof MillraceError) || error.code !== 'TOPIC_MISSING') return false
  await sleep(askEveryMs * 10, signal)
  return true
}

async function newest(source: GenerationSource, signal: AbortSignal): Promise<Generation | undefined> {
  return newestGeneration(await known(source, signal))
}

/** All generations that there are; none before the first. */
export async function known(source: GenerationSource, signal: AbortSignal): Promise<Generation[]> {
  return (await readKnown(source, signal)) ?? []
}

/** Undefined when there is no topic of them. Asks again for as long as Kafka is away. */
function readKnown(
  { connection, fetcher, pipeline, log }: GenerationSource,
  signal: AbortSignal,
): Promise<Generation[] | undefined> {
  const read = async () =>
    (await hasGenerations(connection, pipeline)) ? readGenerations(fetcher, pipeline, signal) : undefined
  return retry(read, { what: 'read the generations', signal, log })
}
