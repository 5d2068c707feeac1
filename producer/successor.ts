// producer/successor: the moment at which another generation takes the place of the one that is streamed.
// May know: contract/generation, kafka/generations, producer/workspace.

import { setTimeout as pause } from 'node:timers/promises'
import type { Generation } from '../contract/generation.ts'
import { newestGeneration, readGenerations } from '../kafka/generations.ts'
import type { Workspace } from './workspace.ts'

const askEveryMs = 2_000

/**
 * Resolves once a younger generation is live, which whoever folds has gone over to. While the topic of generations cannot be read, the
 * stream has the same trouble and says so; here it is asked again.
 * @throws the signal's reason
 */
export async function untilSucceeded(
  { fetcher, config }: Workspace,
  { number }: Generation,
  signal: AbortSignal,
): Promise<Generation> {
  for (;;) {
    await pause(askEveryMs, undefined, { signal })
    const generations = await readGenerations(fetcher, config.name, signal).catch(() => [])
    const newest = newestGeneration(generations)
    if (newest?.state === 'live' && newest.number > number) return newest
  }
}
