// generator/live/rate-limiter: so much per second, now and then more, whatever the work takes; it can be changed and paused.

import { MillraceError } from '../../runtime/errors.ts'
import { sleep } from '../../runtime/wait.ts'

/** For `seconds` out of every `every` seconds, the rate is `factor` times what it is otherwise. */
export interface Bursts {
  readonly every: number
  readonly seconds: number
  readonly factor: number
}

/** What a stall may make up for afterwards, in seconds of the rate; the rest of it is forgotten. */
const mostBehind = 0.5
export const mostPerSecond = 1_000_000

export class Pace {
  readonly #bursts: Bursts | undefined
  readonly #started = performance.now()
  #perSecond: number
  #paused = false
  /** When the next turn is due, by the monotonic clock. */
  #due = performance.now()
  /** Ends the present wait. */
  #wake = new AbortController()

  /** @throws {MillraceError} USAGE for a rate that is none */
  constructor(perSecond: number, bursts?: Bursts) {
    this.#perSecond = checked(perSecond)
    this.#bursts = bursts
  }

  get perSecond(): number {
    return this.#perSecond
  }

  /** @throws {MillraceError} USAGE for a rate that is none */
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

  /** Waits until it is time for more; false once the signal asks to stop. */
  async turn(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      const wait = this.#paused ? 60_000 : this.#due - performance.now()
      if (wait <= 1) return true
      await sleep(Math.min(wait, 60_000), AbortSignal.any([signal, this.#wake.signal])).catch(() => {})
    }
    return false
  }

  /** Whether more is due at once. */
  get behind(): boolean {
    return !this.#paused && this.#due <= performance.now()
  }

  /** Says how much was done in this turn, and by what the usual rate is multiplied at the moment. */
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
