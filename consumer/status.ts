// consumer/status: the answer of the consumer to GET /status.
// `millrace status` and the demo read this shape.

import { tableName } from '../contract/table.ts'
import type { Failure } from '../runtime/retry.ts'
import type { ConsumerContext } from './assignment/assignment.ts'
import type { FreshnessSummary } from './insert/freshness.ts'

export interface ConsumerStatus {
  /** Number; 0 until the producer has begun the first generation. */
  readonly generation: number
  readonly database: string
  /** The newest watermark that is visible; undefined until the initial load is visible. */
  readonly watermark: { readonly lsn: number; readonly commitTimeUs: number } | undefined
  /** The newest watermark known. */
  readonly newest: { readonly lsn: number; readonly commitTimeUs: number } | undefined
  /** Commit → visible in ms over the last minute; undefined when nothing changed. */
  readonly freshness: FreshnessSummary | undefined
  /**
   * Records inserted since the process started: all, and by table with the number of dead letters
   * (`setAside`).
   */
  readonly changes: number
  readonly tables: Readonly<Record<string, { readonly folded: number; readonly setAside: number }>>
  /** Why millrace retries something at the moment; undefined when nothing fails. */
  readonly lastError: Failure | undefined
}

export const emptyStatus: ConsumerStatus = {
  generation: 0,
  database: '',
  watermark: undefined,
  newest: undefined,
  freshness: undefined,
  changes: 0,
  tables: {},
  lastError: undefined,
}

export function statusOf({ generation, writer, watermarks }: ConsumerContext): ConsumerStatus {
  const tables = [...writer.tables.values()]
  return {
    generation: generation.number,
    database: writer.inserter.database,
    watermark: watermarks.written,
    newest: watermarks.newest,
    freshness: writer.freshness.summary(),
    changes: tables.reduce((sum, { inserted }) => sum + inserted, 0),
    tables: Object.fromEntries(
      tables.map(({ table, inserted, deadLetters }) => [tableName(table), { folded: inserted, setAside: deadLetters }]),
    ),
    lastError: writer.failures.last,
  }
}

/**
 * Why no change becomes visible in the tables at the moment; undefined when changes do. A heartbeat
 * of the source counts as a change.
 */
export function whyNothingFlows({ watermarks }: ConsumerContext, limitMs: number): string | undefined {
  if (watermarks.written === undefined) return 'nothing of this generation has become visible in ClickHouse yet'
  const idleMs = performance.now() - watermarks.coveredAt
  return idleMs <= limitMs ? undefined : `nothing has become visible in ClickHouse for ${Math.round(idleMs / 1000)} s`
}
