// runtime/retry: an attempt again and again, with growing pauses, as long as its errors say that this may help.

import { MillraceError } from './errors.ts'
import type { Log } from './log.ts'
import { Reminder } from './reminder.ts'
import { backoffMs, sleep } from './wait.ts'

export interface Failure {
  readonly code: string
  readonly what: string
  /** ISO 8601. */
  readonly at: string
}

/** What is being tried again at the moment, and why. */
export class Failures {
  readonly #open = new Map<symbol, Failure>()

  /** The newest; undefined when nothing fails. */
  get last(): Failure | undefined {
    return [...this.#open.values()].at(-1)
  }

  failed(attempt: symbol, { code, message }: MillraceError): void {
    this.#open.delete(attempt)
    this.#open.set(attempt, { code, what: message, at: new Date().toISOString() })
  }

  /** It has passed, or nobody tries it any more. */
  ended(attempt: symbol): void {
    this.#open.delete(attempt)
  }
}

export interface RetryOptions {
  /** What is attempted, for the log: "connect to Kafka". */
  readonly what: string
  readonly signal: AbortSignal
  readonly log: Log
  /** Is told of each failure while it lasts. */
  readonly failures?: Failures | undefined
  /** Pause after the first failure; doubles from one to the next. Default 100 ms. */
  readonly firstMs?: number
  /** Longest pause. Default 10 s. */
  readonly longestMs?: number
  /** Give up when the next pause would end later than this after the first attempt; default never. */
  readonly limitMs?: number
}

/** So many failures are all logged, in about a minute; later ones when they have another reason, and again after growing pauses. */
const fewAttempts = 12

/**
 * Attempts until success. Each pause is drawn between half and the whole of its length, so that several processes that
 * fail together do not come back together.
 * @throws the first error that is no retriable MillraceError, the last one at the limit, or the signal's reason
 */
export async function retry<T>(attempt: (count: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const own = Symbol(options.what)
  try {
    return await untilSuccess(attempt, options, error => options.failures?.failed(own, error))
  } finally {
    options.failures?.ended(own)
  }
}

async function untilSuccess<T>(
  attempt: (count: number) => Promise<T>,
  options: RetryOptions,
  onFailure: (error: MillraceError) => void,
): Promise<T> {
  const { what, signal, log, firstMs = 100, longestMs = 10_000, limitMs = Number.POSITIVE_INFINITY } = options
  const started = performance.now()
  const reminder = new Reminder()
  for (let count = 1; ; count++) {
    signal.throwIfAborted()
    try {
      return await attempt(count)
    } catch (error) {
      const waitMs = backoffMs(count, { firstMs, longestMs })
      const tooLate = performance.now() - started + waitMs > limitMs
      if (!(error instanceof MillraceError && error.retriable) || tooLate) throw error
      onFailure(error)
      if (count <= fewAttempts || reminder.isDue(error.code))
        log.warn(`could not ${what}, trying again`, { count, code: error.code, error: error.message, waitMs })
      await sleep(waitMs, signal)
    }
  }
}
