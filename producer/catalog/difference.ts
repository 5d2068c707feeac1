// producer/catalog/difference: what may have become of a captured table, and what follows from it.

import type { MemberFacts } from '../../postgres/catalog/facts.ts'

export interface Difference {
  /**
   * `wrong`: from the change on the stream is wrong or incomplete, and does not show where.
   * `over`: whatever was committed before the change is still right, and can be told first.
   * `ahead`: nothing is wrong yet, and the stream itself stops before something is.
   */
  readonly effect: 'wrong' | 'over' | 'ahead'
  /** Sentences, the first without a capital: what was and is, and what it does downstream. */
  readonly what: string
  /** The table is as it was, but not what is sent of it. */
  readonly isOfPublication?: true
}

/**
 * What the catalog alone does not tell of the rows of a member: by `rewritten` whether ALTER TABLE has given them other values or VACUUM
 * FULL has only moved them, by `emptied` whether a partition alone was truncated, by `attached` whether a new partition had rows already.
 */
export interface Doubt {
  readonly kind: 'rewritten' | 'emptied' | 'attached'
  readonly member: MemberFacts
  /** What it is when the rows do not dispel it. */
  readonly otherwise: Difference
}

export const wrong = (what: string): Difference => ({ effect: 'wrong', what })
export const over = (what: string): Difference => ({ effect: 'over', what })
export const ahead = (what: string): Difference => ({ effect: 'ahead', what })
