// clickhouse/quota: a connection whose statements wait for the next interval of a quota, each for itself.

import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { pause } from '../runtime/pause.ts'
import type { Failures } from '../runtime/retry.ts'
import type { Clickhouse } from './client.ts'

/** A quota of statements refuses one before it has begun. Others, as of rows or of time, may end it in its midst. */
const isUnbegun = /\(QUOTA_EXCEEDED\).*exceeded: quer(?:ies|y_selects|y_inserts) = /

const pauseMs = 1_000

export interface Waiting {
  readonly failures: Failures
  readonly signal: AbortSignal
  readonly log: Log
  /** Asked after a wait, over the bare connection: what a statement counts on may be over. @throws {MillraceError} then */
  stillHolds(clickhouse: Clickhouse): Promise<void>
}

/**
 * Recovering a batch takes more statements than a quota may allow in one interval. If it began anew with each that is refused, it would never
 * come to its end.
 */
export function withinQuota(clickhouse: Clickhouse, { signal, log, failures, stillHolds }: Waiting): Clickhouse {
  const untilAllowed = async <T>(work: () => Promise<T>, own: symbol): Promise<T> => {
    for (let count = 0; ; count++) {
      try {
        if (count > 0) await stillHolds(clickhouse)
        return await work()
      } catch (error) {
        if (!(error instanceof MillraceError && isUnbegun.test(error.message))) throw error
        if (count === 0) log.warn('a statement waits for the next interval of a quota', { error: error.message })
        failures.failed(own, error)
      }
      await pause(pauseMs * (0.5 + Math.random() / 2), signal)
    }
  }
  const wait = async <T>(work: () => Promise<T>): Promise<T> => {
    const own = Symbol('statement')
    try {
      return await untilAllowed(work, own)
    } finally {
      failures.ended(own)
    }
  }
  return {
    ...clickhouse,
    rows: (...args) => wait(() => clickhouse.rows(...args)),
    command: (...args) => wait(() => clickhouse.command(...args)),
    insert: (...args) => wait(() => clickhouse.insert(...args)),
  }
}
