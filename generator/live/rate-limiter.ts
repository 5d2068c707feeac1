// generator/live/rate-limiter: a rate of changes, with periodic bursts; it can be changed and
// paused.

import { MillraceError } from '../../runtime/errors.ts'
import { sleep } from '../../runtime/wait.ts'

/** During `seconds` of every `every` seconds, the rate is multiplied by `factor`. */
export interface Bursts {
  readonly every: number
  readonly seconds: number
  readonly factor: number
}

/** After a stall, at most this many seconds of the rate are made up for. */
const mostBehind = 0.5
export const mostPerSecond = 1_000_000

export class RateLimiter {
  readonly #bursts: Bursts | undefined
  readonly #started = performance.now()
  #perSecond: number
  #paused = false
  /** Time of the next turn, by the monotonic clock. */
  #due = performance.now()
  /** Ends the current wait. */
  #wake = new AbortController()

  /** @throws {MillraceError} USAGE for a rate that is not a number in the range */
  constructor(perSecond: number, bursts?: Bursts) {
    this.#perSecond = checked(perSecond)
    this.#bursts = bursts
  }

  get perSecond(): number {
    return this.#perSecond
  }

  /** @throws {MillraceError} USAGE for a rate that is not a number in the range */
  set perSecond(perSecond: number) {
    this.#perSecond = checked(perSecond)
    this.#due = performance.now()
    this.#stopWaiting()
  }

  get bursts(): Bursts | undefined {
    return this.#bursts
  }

  get paused(): boolean {
    return this.#paused
  }

  set paused(paused: boolean) {
    this.#paused = paused
    this.#due = performance.now()
    this.#stopWaiting()
  }

  /** Waits until the next turn is due. Returns false after the signal. */
  async turn(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      const wait = this.#paused ? 60_000 : this.#due - performance.now()
      if (wait <= 1) return true
      await sleep(Math.min(wait, 60_000), AbortSignal.any([signal, this.#wake.signal])).catch(() => {})
    }
    return false
  }

  /** Whether the next turn is due now. */
  get behind(): boolean {
    return !this.#paused && this.#due <= performance.now()
  }

  /** Reports the changes of this turn, and the factor by which the rate is multiplied now. */
  done(count: number, factor = 1): void {
    const perMs = (this.#perSecond * this.#burstFactor() * factor) / 1000
    this.#due = Math.max(this.#due, performance.now() - mostBehind * 1000) + count / perMs
  }

  #burstFactor(): number {
    if (this.#bursts === undefined) return 1
    const { every, seconds, factor } = this.#bursts
    return ((performance.now() - this.#started) / 1000) % every < seconds ? factor : 1
  }

  #stopWaiting(): void {
    this.#wake.abort()
    this.#wake = new AbortController()
  }
}

function checked(perSecond: number): number {
  if (perSecond > 0 && perSecond <= mostPerSecond) return perSecond
  throw new MillraceError('USAGE', {
    what: `the rate must be a number of row changes per second above 0 and up to ${mostPerSecond}, and is ${perSecond}`,
    next: 'give for example --rate 1000',
  })
}
