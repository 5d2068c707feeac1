// producer/generation/plan: which generation to work on, from what the generations topic says.
// Pure.

import type { Generation } from '../../contract/generation.ts'

export type Plan =
  | { readonly kind: 'resume'; readonly generation: Generation }
  | { readonly kind: 'begin'; readonly number: number }

export interface PlannedWork {
  readonly plan: Plan
  /** Loads that were cut off; their slot and topics are to be removed. */
  readonly cutOff: readonly Generation[]
}

/**
 * Resumes the newest live generation, or begins the next number: a number is never used twice, not even after a load that was cut off.
 * @param fresh begin a new one although there is one to resume
 */
export function planGeneration(generations: readonly Generation[], fresh: boolean): PlannedWork {
  const byNumber = generations.toSorted((a, b) => b.number - a.number)
  const live = byNumber.find(({ state }) => state === 'live')
  const cutOff = byNumber.filter(({ state }) => state === 'announced' || state === 'loading')
  if (live && !fresh) return { plan: { kind: 'resume', generation: live }, cutOff }
  return { plan: { kind: 'begin', number: (byNumber[0]?.number ?? 0) + 1 }, cutOff }
}
