// verify/verify: Postgres and ClickHouse at one LSN, every table and every report.
// May know: contract, clickhouse, runtime, verify.

import { changelogName } from '../clickhouse/ddl.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { formatLsn } from '../contract/position.ts'
import { tableName } from '../contract/table.ts'
import type { Config } from '../runtime/config.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { compareReport, loadChecks, type ReportComparison } from './reports.ts'
import { openSnapshot, type SourceSnapshot } from './snapshot.ts'
import { compareTable, type TableComparison } from './tables.ts'
import { type OpenedWarehouse, openLiveWarehouse, visibleLsn } from './warehouse.ts'

export interface Verification {
  readonly ok: boolean
  readonly lsn: string
  readonly tables: Readonly<Record<string, TableComparison>>
  readonly reports: Readonly<Record<string, ReportComparison>>
}

export interface VerifyOptions {
  readonly config: Config
  readonly services: { readonly postgres: string; readonly clickhouse: { url: string; user: string; password: string } }
  readonly log: Log
  readonly signal: AbortSignal
}

/** How long ClickHouse may take to reach the snapshot's LSN. */
const catchUpMs = 60_000
/** A report shows the present, so under load it is compared again until a snapshot meets a quiet moment. */
const reportAttempts = 5

/**
 * Compares as of one LSN, while changes keep flowing. Tables are exact at any time; a report that stays different while the source
 * moves cannot be judged.
 * @throws {MillraceError} NOTHING_LOADED, NOT_CAUGHT_UP, or SOURCE_MOVES
 */
export async function verify(options: VerifyOptions): Promise<Verification> {
  const warehouse = await openLiveWarehouse(options.services.clickhouse, options.config.name)
  try {
    const { lsn, tables } = await withSnapshot(options, warehouse, snapshot => compareTables(warehouse, snapshot))
    const reports =
      options.config.model === undefined ? {} : await compareReports(options, warehouse, options.config.model)
    const ok = [...Object.values(tables), ...Object.values(reports)].every(({ differing }) => differing === 0)
    return { ok, lsn: formatLsn(lsn), tables, reports }
  } finally {
    await warehouse.clickhouse.close()
  }
}

async function compareTables(warehouse: OpenedWarehouse, { client, lsn }: SourceSnapshot) {
  const tables: Record<string, TableComparison> = {}
  for (const table of warehouse.tables) {
    const compare = () => compareTable({ postgres: client, clickhouse: warehouse.clickhouse, table, lsn })
    const first = await compare()
    // ClickHouse shows a changelog's part and the current state's part one after the other; a second look is past that moment.
    tables[tableName(table)] = first.differing === 0 ? first : await compare()
  }
  return { lsn, tables }
}

async function compareReports(
  options: VerifyOptions,
  warehouse: OpenedWarehouse,
  model: string,
): Promise<Record<string, ReportComparison>> {
  const checks = loadChecks(model, options.config.reportTimeZone)
  for (let attempt = 1; ; attempt++) {
    const { reports, quiet } = await withSnapshot(options, warehouse, async ({ client, lsn }) => {
      const reports: Record<string, ReportComparison> = {}
      for (const check of checks) {
        reports[check.name] = await compareReport({ postgres: client, clickhouse: warehouse.clickhouse, check })
      }
      return { reports, quiet: !(await changedSince(warehouse, lsn)) }
    })
    if (quiet || Object.values(reports).every(({ differing }) => differing === 0)) return reports
    if (attempt === reportAttempts) {
      throw new MillraceError('SOURCE_MOVES', {
        what: 'the reports could not be compared, because the source changed during each of several attempts',
        next: 'pause the writers for a moment and verify again; the tables were compared, and this does not say that a report is wrong',
      })
    }
  }
}

async function withSnapshot<Result>(
  options: VerifyOptions,
  warehouse: OpenedWarehouse,
  work: (snapshot: SourceSnapshot) => Promise<Result>,
): Promise<Result> {
  const snapshot = await openSnapshot(options.services.postgres)
  try {
    await untilVisible(warehouse, snapshot.lsn, options.signal)
    return await work(snapshot)
  } finally {
    await snapshot.close()
  }
}

async function untilVisible({ clickhouse }: OpenedWarehouse, lsn: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + catchUpMs
  for (;;) {
    const visible = await visibleLsn(clickhouse)
    if (visible >= lsn) return
    signal.throwIfAborted()
    if (performance.now() > deadline) {
      throw new MillraceError('NOT_CAUGHT_UP', {
        what: `ClickHouse shows everything up to ${formatLsn(visible)} and did not reach ${formatLsn(lsn)} in ${catchUpMs / 1000} s`,
        next: 'millrace status shows where it waits; check that the producer and the consumer run',
      })
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** Whether any captured table has a change at or after the LSN. */
async function changedSince({ clickhouse, tables }: OpenedWarehouse, lsn: number): Promise<boolean> {
  for (const table of tables) {
    const [row] = await clickhouse.rows(`SELECT 1 FROM ${quoteName(changelogName(table))} WHERE _lsn >= ${lsn} LIMIT 1`)
    if (row !== undefined) return true
  }
  return false
}
