// consumer/status: what the consumer says about itself at GET /status.
// The shape that `millrace status` and the demo read.

import { tableName } from '../contract/table.ts'
import type { Failure } from '../runtime/retry.ts'
import type { ConsumerContext } from './assignment/assignment.ts'
import type { FreshnessSummary } from './insert/freshness.ts'
import type { Uncertainty } from './warehouse/uncertain.ts'

export interface ConsumerStatus {
  /** 0 until the producer has begun one. */
  readonly generation: number
  readonly database: string
  /** The newest watermark that is visible; undefined until the initial load has been folded. */
  readonly watermark: { readonly lsn: number; readonly commitTimeUs: number } | undefined
  /** The newest watermark known. */
  readonly newest: { readonly lsn: number; readonly commitTimeUs: number } | undefined
  /** Commit → visible in ms over the last minute; undefined when nothing changed. */
  readonly freshness: FreshnessSummary | undefined
  /** Records folded since the process started, and of these by table, with those set aside. */
  readonly changes: number
  readonly tables: Readonly<Record<string, { readonly folded: number; readonly setAside: number }>>
  /** Set while aggregates may differ from the tables. */
  readonly uncertain: Uncertainty | undefined
  /** Why something is tried again at the moment; undefined when nothing fails. */
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
  uncertain: undefined,
  lastError: undefined,
}

export function statusOf({ generation, writer, watermarks }: ConsumerContext): ConsumerStatus {
  const tables = [...writer.tables.values()]
  return {
    generation: generation.number,
    database: writer.inserter.database,
    watermark: watermarks.visible,
    newest: watermarks.newest,
    freshness: writer.freshness.summary(),
    changes: tables.reduce((sum, { folded }) => sum + folded, 0),
    tables: Object.fromEntries(
      tables.map(({ table, folded, deadLetters }) => [tableName(table), { folded, setAside: deadLetters }]),
    ),
    uncertain: writer.uncertainty,
    lastError: writer.failures.last,
  }
}

/** Why changes do not become visible at the moment; undefined when they do. A heartbeat of the source is one. */
export function whyNothingFlows({ watermarks }: ConsumerContext, limitMs: number): string | undefined {
  if (watermarks.visible === undefined) return 'nothing of this generation has become visible in ClickHouse yet'
  const idleMs = performance.now() - watermarks.writtenAt
  return idleMs <= limitMs ? undefined : `nothing has become visible in ClickHouse for ${Math.round(idleMs / 1000)} s`
}
