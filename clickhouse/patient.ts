// clickhouse/patient: a connection whose statements are each tried again until they pass.
// For statements that may be repeated, as those are that make what is not there yet.

import type { Log } from '../runtime/log.ts'
import { type Failures, retry } from '../runtime/retry.ts'
import type { Clickhouse } from './client.ts'

export interface Patience {
  readonly signal: AbortSignal
  readonly log: Log
  readonly failures: Failures
}

/** A quota may be smaller than all statements together, so that to begin again from the first would never come to an end. */
export function patient(clickhouse: Clickhouse, options: Patience): Clickhouse {
  const again = <T>(work: () => Promise<T>) => retry(work, { what: 'prepare ClickHouse', ...options })
  return {
    ...clickhouse,
    rows: (...args) => again(() => clickhouse.rows(...args)),
    command: (...args) => again(() => clickhouse.command(...args)),
    insert: (...args) => again(() => clickhouse.insert(...args)),
  }
}
