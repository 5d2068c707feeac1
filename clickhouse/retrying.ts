// clickhouse/retrying: connections that repeat a failed statement, each statement on its own.

import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { type Failures, type RetryOptions, retry } from '../runtime/retry.ts'
import { sleep, withJitter } from '../runtime/wait.ts'
import type { Clickhouse } from './client.ts'

/**
 * Tries each statement again until it passes. Only for statements that may be repeated, such as
 * CREATE … IF NOT EXISTS. A quota may be smaller than all statements together, so that a
 * preparation that began again with its first statement would never end.
 */
export function withRetries(clickhouse: Clickhouse, options: Omit<RetryOptions, 'what'>): Clickhouse {
  return each(clickhouse, work => retry(work, { what: 'prepare ClickHouse', ...options }))
}

/**
 * A quota of statements refuses a statement before it begins. Other quotas, such as of rows or of
 * time, may end a statement halfway.
 */
const isRefusedByQuota = /\(QUOTA_EXCEEDED\).*exceeded: quer(?:ies|y_selects|y_inserts) = /

const askEveryMs = 1_000

export interface QuotaOptions {
  readonly failures: Failures
  readonly signal: AbortSignal
  readonly log: Log
  /**
   * Called after a pause, with the bare connection: the statement's preconditions may no longer
   * hold.
   * @throws {MillraceError} if they do not
   */
  stillHolds(clickhouse: Clickhouse): Promise<void>
}

/**
 * Each statement waits for the next interval of a quota that refused it. Completing an insert takes
 * more statements than a quota may allow in one interval, so starting over after each refused
 * statement would never end.
 */
export function withinQuota(clickhouse: Clickhouse, { signal, log, failures, stillHolds }: QuotaOptions): Clickhouse {
  const untilAllowed = async <T>(work: () => Promise<T>, own: symbol): Promise<T> => {
    for (let count = 0; ; count++) {
      try {
        if (count > 0) await stillHolds(clickhouse)
        return await work()
      } catch (error) {
        if (!(error instanceof MillraceError && isRefusedByQuota.test(error.message))) throw error
        if (count === 0) log.warn('a statement waits for the next interval of a quota', { error: error.message })
        failures.failed(own, error)
      }
      await sleep(withJitter(askEveryMs), signal)
    }
  }
  return each(clickhouse, async work => {
    const own = Symbol('statement')
    try {
      return await untilAllowed(work, own)
    } finally {
      failures.ended(own)
    }
  })
}

/** The connection with every statement run by `run`. */
function each(clickhouse: Clickhouse, run: <T>(work: () => Promise<T>) => Promise<T>): Clickhouse {
  return {
    ...clickhouse,
    rows: (...args) => run(() => clickhouse.rows(...args)),
    command: (...args) => run(() => clickhouse.command(...args)),
    insert: (...args) => run(() => clickhouse.insert(...args)),
  }
}
