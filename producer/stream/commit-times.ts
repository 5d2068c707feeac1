// producer/stream/commit-times: when the transactions up to a position were committed.
// Pure bookkeeping between "routed" and "durable".

const compactAfter = 1024

export class CommitTimes {
  #lsns: number[] = []
  #times: number[] = []
  #first = 0
  #reached: number

  /** @param startUs commit time that holds before the first commit, µs since the Unix epoch */
  constructor(startUs: number) {
    this.#reached = startUs
  }

  /** A commit whose changes all lie before the LSN. LSNs do not decrease; times may, by clocks and by concurrent commits. */
  add(lsn: number, commitTimeUs: number): void {
    this.#lsns.push(lsn)
    this.#times.push(commitTimeUs)
  }

  /** Commit time of the last commit up to the LSN, so that a clock that is set back is followed; forgets what lies before it. */
  upTo(lsn: number): number {
    while (this.#first < this.#lsns.length && this.#lsns[this.#first]! <= lsn) {
      this.#reached = this.#times[this.#first]!
      this.#first++
    }
    if (this.#first > compactAfter) {
      this.#lsns = this.#lsns.slice(this.#first)
      this.#times = this.#times.slice(this.#first)
      this.#first = 0
    }
    return this.#reached
  }
}
