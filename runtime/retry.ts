// runtime/retry: repeats an attempt with growing pauses while its errors are retriable.

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

/** The attempts that fail at the moment, each with its last error. */
export class Failures {
  readonly #open = new Map<symbol, Failure>()

  /** The newest failure; undefined when nothing fails. */
  get last(): Failure | undefined {
    return [...this.#open.values()].at(-1)
  }

  failed(attempt: symbol, { code, message }: MillraceError): void {
    this.#open.delete(attempt)
    this.#open.set(attempt, { code, what: message, at: new Date().toISOString() })
  }

  /** The attempt succeeded, or was given up. */
  ended(attempt: symbol): void {
    this.#open.delete(attempt)
  }
}

export interface RetryOptions {
  /** What is attempted, as a phrase for the log: "connect to Kafka". */
  readonly what: string
  readonly signal: AbortSignal
  readonly log: Log
  /** Contains the failure until the attempt succeeds or is given up. */
  readonly failures?: Failures | undefined
  /** Pause after the first failure; it doubles with each further failure. Default 100 ms. */
  readonly firstMs?: number
  /** Longest pause. Default 10 s. */
  readonly longestMs?: number
  /**
   * Give up when the next attempt would begin later than this after the first one. Default: never.
   */
  readonly limitMs?: number
}

/**
 * The first failures, of about a minute, are all logged. Later ones are logged when their code
 * changes, and after growing pauses.
 */
const fewAttempts = 12

/**
 * Attempts until success.
 * @throws the first error that is not a retriable MillraceError; the last error at the limit; the
 *   signal's reason
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
