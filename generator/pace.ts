// generator/pace: an even rate, whatever the work takes.
// May know: nothing.

import { setTimeout as pause } from 'node:timers/promises'

/** What a stall may make up for afterwards, in seconds of the rate; the rest of it is forgotten. */
const mostBehind = 0.5

export class Pace {
  readonly #perMs: number
  readonly #signal: AbortSignal
  /** When the next turn is due, by the monotonic clock. */
  #due = performance.now()

  constructor(perSecond: number, signal: AbortSignal) {
    this.#perMs = perSecond / 1000
    this.#signal = signal
  }

  /** Waits until it is time for more; false once the signal asks to stop. */
  async turn(): Promise<boolean> {
    const wait = this.#due - performance.now()
    if (wait > 1) await pause(wait, undefined, { signal: this.#signal }).catch(() => undefined)
    return !this.#signal.aborted
  }

  /** Whether more is due at once. */
  get behind(): boolean {
    return this.#due <= performance.now()
  }

  /** Says how much was done in this turn. */
  done(count: number): void {
    this.#due = Math.max(this.#due, performance.now() - mostBehind * 1000) + count / this.#perMs
  }
}
