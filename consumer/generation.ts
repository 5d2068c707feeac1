// consumer/generation: which generation to fold.
// May know: contract/generation, kafka, runtime.

import { setTimeout as pause } from 'node:timers/promises'
import type { Generation } from '../contract/generation.ts'
import type { KafkaConnection } from '../kafka/cluster.ts'
import type { Fetcher } from '../kafka/fetch.ts'
import { hasGenerations, newestGeneration, readGenerations } from '../kafka/generations.ts'
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
    const generation = await newest(source, signal)
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
    const generation = await newest(source, signal)
    if (generation !== undefined && generation.number !== current.number) return generation
    await pause(askEveryMs * 10, undefined, { signal })
  }
}

async function newest(
  { connection, fetcher, pipeline }: GenerationSource,
  signal: AbortSignal,
): Promise<Generation | undefined> {
  if (!(await hasGenerations(connection, pipeline))) return undefined
  return newestGeneration(await readGenerations(fetcher, pipeline, signal))
}
