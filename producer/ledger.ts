// producer/ledger: from "routed" to "durable": which LSN may be acknowledged, and what a watermark may say.
// May know: contract/generation, producer/commit-times. Pure bookkeeping.

import type { Watermark } from '../contract/generation.ts'
import { CommitTimes } from './commit-times.ts'

export class Ledger {
  /** Every change committed before it has been routed. */
  routed = 0
  /** Every change committed before it is in the topics. */
  durable = 0
  readonly #times: CommitTimes

  /** @param before what was true when the ledger was opened */
  constructor(before: Watermark | undefined) {
    this.#times = new CommitTimes(before?.commitTimeUs ?? 0)
  }

  /**
   * @param commitTimeUs left out when nothing was committed on the way
   * @returns whether this is news, to be marked in the sink
   */
  advance(lsn: number, commitTimeUs?: number): boolean {
    if (commitTimeUs !== undefined) this.#times.add(lsn, commitTimeUs)
    if (lsn <= this.routed) return false
    this.routed = lsn
    return true
  }

  get commitTimeUs(): number {
    return this.#times.upTo(this.durable)
  }

  /** Undefined until something has been seen to be committed. */
  watermark(offsets: Watermark['offsets'], truncated: Watermark['truncated'] = []): Watermark | undefined {
    const { durable, commitTimeUs } = this
    return commitTimeUs === 0 || durable === 0
      ? undefined
      : { lsn: durable, commitTimeUs, offsets, ...(truncated.length > 0 && { truncated }) }
  }
}
