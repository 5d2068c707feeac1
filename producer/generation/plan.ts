// producer/generation/plan: which generation to work on, by the records of the generations topic.
// Pure.

import type { Generation } from '../../contract/generation.ts'

export type Plan =
  | { readonly kind: 'resume'; readonly generation: Generation }
  | { readonly kind: 'begin'; readonly number: number }

export interface PlannedWork {
  readonly plan: Plan
  /** Loads that were interrupted. Their slots and topics are to be removed. */
  readonly interrupted: readonly Generation[]
}

/**
 * Resumes the newest live generation, or begins the next number. A number is never used twice, even
 * after an interrupted load.
 * @param fresh begin a new generation although there is a live one
 */
export function planGeneration(generations: readonly Generation[], fresh: boolean): PlannedWork {
  const byNumber = generations.toSorted((a, b) => b.number - a.number)
  const live = byNumber.find(({ state }) => state === 'live')
  const interrupted = byNumber.filter(({ state }) => state === 'announced' || state === 'loading')
  if (live && !fresh) return { plan: { kind: 'resume', generation: live }, interrupted }
  return { plan: { kind: 'begin', number: (byNumber[0]?.number ?? 0) + 1 }, interrupted }
}
