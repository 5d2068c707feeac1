// producer/stream/lsn-tracker: the LSNs up to which changes are routed, durable and acknowledged.
// Pure bookkeeping.

import { isCommitTime, type Watermark } from '../../contract/generation.ts'

/** Where an earlier stream or a load ended. */
export type TrackerStart = Pick<Watermark, 'lsn' | 'commitTimeUs' | 'timeline'>

/** The parts that react when more is durable. */
export interface TrackerListeners {
  /** Postgres need not send again what was committed before the LSN. */
  acknowledge(lsn: number): void
  /** More is in the topics than the last watermark says. */
  publish(): void
}

/** Made before everything that reports to it or listens to it. */
export class LsnTracker {
  /** Timeline of the server that is read from. */
  timeline: number
  #routed = 0
  #durable = 0
  #watermarked = 0
  #times = new CommitTimes(0)
  #listeners: TrackerListeners | undefined

  constructor(timeline: number) {
    this.timeline = timeline
  }

  /**
   * Continues from an earlier stream or the initial load.
   * @param last the last durable watermark
   * @param loaded the watermark of the initial load, when it is not durable yet
   */
  resume(last: TrackerStart | undefined, loaded?: TrackerStart): void {
    const start = loaded ?? last
    if (start) {
      this.#times = new CommitTimes(start.commitTimeUs)
      this.timeline = start.timeline
    }
    this.#watermarked = last?.lsn ?? 0
  }

  /**
   * From now on, the listeners are called when more is durable. They are called at once for what is
   * durable already.
   */
  connect(listeners: TrackerListeners): void {
    this.#listeners = listeners
    listeners.acknowledge(this.acknowledged)
    if (this.#durable > 0) listeners.publish()
  }

  /**
   * Every change committed before the LSN has been appended to the topics.
   * @param commitTimeUs left out when nothing was committed on the way; a time that no watermark
   *   can contain is ignored
   * @returns whether the LSN is higher than before. Then it is the next checkpoint of the topics.
   */
  advance(lsn: number, commitTimeUs?: number): boolean {
    if (commitTimeUs !== undefined && isCommitTime(commitTimeUs)) this.#times.add(lsn, commitTimeUs)
    if (lsn <= this.#routed) return false
    this.#routed = lsn
    return true
  }

  /** Every change committed before the LSN is in the topics. */
  topicsDurable(lsn: number): void {
    this.#durable = lsn
    this.#listeners?.acknowledge(this.acknowledged)
    this.#listeners?.publish()
  }

  /** The watermark of this LSN is durable. */
  watermarkDurable(lsn: number): void {
    this.#watermarked = lsn
    this.#listeners?.acknowledge(this.acknowledged)
  }

  /** Every change committed before it is in the topics. */
  get durable(): number {
    return this.#durable
  }

  /** LSN of the last watermark that is durable; 0 when there is none. */
  get watermarked(): number {
    return this.#watermarked
  }

  /**
   * The LSN before which Postgres need never send again. Everything before it is in the topics, and
   * a durable watermark says so. A later start that finds the slot beyond the last watermark thus
   * knows that changes are missing.
   */
  get acknowledged(): number {
    return Math.min(this.#durable, this.#watermarked)
  }

  /** Commit time of the last commit that is durable. */
  get commitTimeUs(): number {
    return this.#times.upTo(this.#durable)
  }

  /** @returns undefined until a commit is durable */
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

const compactAfter = 1024

/** When the transactions up to a position were committed. */
export class CommitTimes {
  #lsns: number[] = []
  #times: number[] = []
  #first = 0
  #last: number

  /** @param startUs commit time that is valid before the first commit, µs since the Unix epoch */
  constructor(startUs: number) {
    this.#last = startUs
  }

  /**
   * A commit that ends at the LSN. LSNs do not decrease; times may, by clocks and by concurrent
   * commits.
   */
  add(lsn: number, commitTimeUs: number): void {
    this.#lsns.push(lsn)
    this.#times.push(commitTimeUs)
  }

  /**
   * Commit time of the last commit up to the LSN, even where a clock was set back. Forgets all
   * earlier commits.
   */
  upTo(lsn: number): number {
    while (this.#first < this.#lsns.length && this.#lsns[this.#first]! <= lsn) {
      this.#last = this.#times[this.#first]!
      this.#first++
    }
    if (this.#first > compactAfter) {
      this.#lsns = this.#lsns.slice(this.#first)
      this.#times = this.#times.slice(this.#first)
      this.#first = 0
    }
    return this.#last
  }
}
