// producer/stream/lsn-tracker: from "routed" to "durable" to "acknowledged": what Postgres may be told, and what a watermark may say.
// Pure bookkeeping.

import { isCommitTime, type Watermark } from '../../contract/generation.ts'
import { CommitTimes } from './commit-times.ts'

/** What was true when the tracker was made. */
export interface LedgerStart {
  readonly commitTimeUs: number
  readonly timeline: number
  /** LSN of the last watermark that is durable; 0 when there is none. */
  readonly watermarked: number
}

export class LsnTracker {
  /** Every change committed before it has been routed. */
  routed = 0
  /** Every change committed before it is in the topics. */
  durable = 0
  /** LSN of the last watermark that is durable. */
  watermarked: number
  /** Of the server that is read from. */
  timeline: number
  readonly #times: CommitTimes

  constructor({ commitTimeUs, timeline, watermarked }: LedgerStart) {
    this.#times = new CommitTimes(commitTimeUs)
    this.timeline = timeline
    this.watermarked = watermarked
  }

  /**
   * @param commitTimeUs left out when nothing was committed on the way; one that no watermark can hold is passed over
   * @returns whether this is news, to be marked in the sink
   */
  advance(lsn: number, commitTimeUs?: number): boolean {
    if (commitTimeUs !== undefined && isCommitTime(commitTimeUs)) this.#times.add(lsn, commitTimeUs)
    if (lsn <= this.routed) return false
    this.routed = lsn
    return true
  }

  /**
   * What Postgres never need send again. It is in the topics, and a watermark says so: a later start that finds the slot behind the
   * last watermark then knows that changes are missing.
   */
  get acknowledged(): number {
    return Math.min(this.durable, this.watermarked)
  }

  /** Of the last commit that is durable. */
  get commitTimeUs(): number {
    return this.#times.upTo(this.durable)
  }

  /** Undefined until something has been seen to be committed. */
  watermark({
    offsets,
    letters,
    truncated = [],
  }: Pick<Watermark, 'offsets' | 'letters' | 'truncated'>): Watermark | undefined {
    const { durable, commitTimeUs, timeline } = this
    if (commitTimeUs === 0 || durable === 0) return undefined
    return { lsn: durable, commitTimeUs, timeline, offsets, letters, ...(truncated.length > 0 && { truncated }) }
  }
}
