// runtime/reminder: when to repeat a log message that has been written before.

const firstPauseMs = 15_000
const longestPauseMs = 600_000

/**
 * Whether a message is due: at once when it differs from the last one, then after pauses that
 * double.
 */
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

  /** The condition has ended: the same message would be due at once. */
  forget(): void {
    this.#said = undefined
  }
}
