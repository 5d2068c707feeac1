// runtime/reminder: when it is time to say again what has been said before.

const firstPauseMs = 15_000
const longestPauseMs = 600_000

/** Whether it is time to say something again: at once when it is news, and then after pauses that double. */
export class Reminder {
  readonly #now: () => number
  #said: string | undefined
  #nextAt = 0
  #pauseMs = firstPauseMs

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  isDue(what: string): boolean {
    if (what !== this.#said) this.#pauseMs = firstPauseMs
    else if (this.#now() < this.#nextAt) return false
    else this.#pauseMs = Math.min(longestPauseMs, 2 * this.#pauseMs)
    this.#said = what
    this.#nextAt = this.#now() + this.#pauseMs
    return true
  }

  /** It is over: the same would be news. */
  forget(): void {
    this.#said = undefined
  }
}
