// consumer/generation: which generation to fold.
// May know: contract/generation, kafka, runtime.

import { setTimeout as pause } from 'node:timers/promises'
import { type Generation, generationsTopic } from '../contract/generation.ts'
import type { KafkaConnection } from '../kafka/cluster.ts'
import { readCompacted } from '../kafka/compacted.ts'
import type { Fetcher } from '../kafka/fetch.ts'
import type { Log } from '../runtime/log.ts'

const askEveryMs = 200

export interface GenerationSource {
  readonly connection: KafkaConnection
  readonly fetcher: Fetcher
  readonly pipeline: string
  readonly log: Log
}

/** The newest generation that is live, or else being loaded; waits until the producer has begun one. */
export async function waitForGeneration(source: GenerationSource, signal: AbortSignal): Promise<Generation> {
  for (let asked = 0; ; asked++) {
    const generation = newest(await readGenerations(source, signal))
    if (generation !== undefined) return generation
    if (asked === 0) source.log.info('waiting for the producer to begin a generation')
    await pause(askEveryMs, undefined, { signal })
  }
}

/** Resolves when another generation should be folded instead; never while `current` stands. */
export async function untilReplaced(
  source: GenerationSource,
  current: Generation,
  signal: AbortSignal,
): Promise<Generation> {
  for (;;) {
    const generation = newest(await readGenerations(source, signal))
    if (generation !== undefined && generation.number !== current.number) return generation
    await pause(askEveryMs * 10, undefined, { signal })
  }
}

/** A generation that is still loading counts only while none is live: a rebuild is folded once it is whole. */
function newest(generations: readonly Generation[]): Generation | undefined {
  const byNumber = generations.toSorted((a, b) => b.number - a.number)
  return byNumber.find(({ state }) => state === 'live') ?? byNumber.find(({ state }) => state === 'loading')
}

async function readGenerations(
  { connection, fetcher, pipeline }: GenerationSource,
  signal: AbortSignal,
): Promise<Generation[]> {
  const topic = generationsTopic(pipeline)
  const { topicMetadata } = await connection.metadata([topic])
  if (topicMetadata.some(({ topicErrorCode }) => topicErrorCode !== 0)) return []
  const values = await readCompacted(fetcher, topic, signal)
  return [...values.values()].map(json => JSON.parse(json) as Generation)
}
