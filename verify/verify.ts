// verify/verify: Postgres and ClickHouse at one LSN, every table and every report.
// May know: contract, clickhouse, runtime, verify.

import { loadModel } from '../clickhouse/model.ts'
import { formatLsn } from '../contract/position.ts'
import { tableName } from '../contract/table.ts'
import type { Config } from '../runtime/config.ts'
import { loadHashKey } from '../runtime/hash-key.ts'
import { loadChecks, type ReportCheck, uncheckedViews, withPolicies } from './checks.ts'
import { giveKey } from './policies.ts'
import { compareReport } from './reports.ts'
import { openSnapshot, type SourceSnapshot } from './snapshot.ts'
import { compareTable, type TableComparison } from './tables.ts'
import { type ReportComparison, Trial } from './trial.ts'
import { changedSince, type OpenedWarehouse, openLiveWarehouse, untilVisible } from './warehouse.ts'

export type Outcome = 'equal' | 'different' | 'undecided'

export interface Verification {
  /** Everything is equal. */
  readonly ok: boolean
  /** Different when anything is; undecided when else a report could not be judged, because the source never rested. */
  readonly outcome: Outcome
  /** Where the tables were compared. */
  readonly lsn: string
  readonly tables: Readonly<Record<string, TableComparison>>
  readonly reports: Readonly<Record<string, ReportComparison>>
  /** Published views of the model that have no check. */
  readonly unchecked: readonly string[]
}

export interface VerifyOptions {
  readonly config: Config
  readonly services: { readonly postgres: string; readonly clickhouse: { url: string; user: string; password: string } }
  readonly signal: AbortSignal
}

/** How often a report that differs while the source moves is looked at, at most, and how long at all. */
const looks = 5
const patienceMs = 15_000

/**
 * Compares as of one LSN, while changes keep flowing. Tables are exact at any time; reports, which show the present, row by row in
 * several looks (see Trial).
 * @throws {MillraceError} NOTHING_LOADED, NOT_CAUGHT_UP, CONFIG_INVALID for a check that cannot be read
 */
export async function verify(options: VerifyOptions): Promise<Verification> {
  const { checks, unchecked } = checksOf(options.config)
  const warehouse = await openLiveWarehouse(options.services.clickhouse, options.config.name)
  try {
    const { lsn, tables } = await withSnapshot(options, warehouse, snapshot => compareTables(warehouse, snapshot))
    const reports = await compareReports(options, warehouse, withPolicies(checks, warehouse.tables))
    const outcome = outcomeOf(Object.values(tables), Object.values(reports))
    return { ok: outcome === 'equal', outcome, lsn: formatLsn(lsn), tables, reports, unchecked }
  } finally {
    await warehouse.clickhouse.close()
  }
}

function checksOf({ model: directory, reportTimeZone }: Config): { checks: ReportCheck[]; unchecked: string[] } {
  if (directory === undefined) return { checks: [], unchecked: [] }
  const model = loadModel(directory, reportTimeZone)
  const checks = loadChecks(model, reportTimeZone)
  return { checks, unchecked: uncheckedViews(model, checks) }
}

function outcomeOf(tables: readonly TableComparison[], reports: readonly ReportComparison[]): Outcome {
  if (tables.some(({ differing }) => differing > 0)) return 'different'
  const states = reports.map(({ state }) => state)
  if (states.includes('different')) return 'different'
  return states.includes('undecided') ? 'undecided' : 'equal'
}

async function compareTables({ clickhouse, tables: all }: OpenedWarehouse, { client: postgres, lsn }: SourceSnapshot) {
  const tables: Record<string, TableComparison> = {}
  for (const table of all) {
    const compare = () => compareTable({ postgres, clickhouse, table, lsn })
    const first = await compare()
    // ClickHouse shows a changelog's part and the current state's part one after the other; a second look is past that moment.
    tables[tableName(table)] = first.differing === 0 ? first : await compare()
  }
  return { lsn, tables }
}

/** All reports at one snapshot, then those that moved at snapshots of their own, which are read sooner. */
async function compareReports(
  options: VerifyOptions,
  warehouse: OpenedWarehouse,
  checks: readonly ReportCheck[],
): Promise<Record<string, ReportComparison>> {
  const trials = new Map(checks.map(check => [check, new Trial()]))
  const undecided = () => checks.filter(check => trials.get(check)!.state === 'undecided')
  const until = performance.now() + patienceMs
  for (let look = 1; look <= looks && undecided().length > 0; look++) {
    const groups = look === 1 ? [checks] : undecided().map(check => [check])
    for (const group of groups) {
      if (look > 1 && performance.now() > until) break
      await withSnapshot(options, warehouse, async snapshot => {
        for (const check of group) await lookAt(check, trials.get(check)!, { warehouse, snapshot })
      })
    }
  }
  return Object.fromEntries(checks.map(check => [check.name, trials.get(check)!.result()]))
}

interface Moment {
  readonly warehouse: OpenedWarehouse
  readonly snapshot: SourceSnapshot
}

async function lookAt(check: ReportCheck, trial: Trial, { warehouse, snapshot }: Moment): Promise<void> {
  const compare = () => compareReport({ postgres: snapshot.client, clickhouse: warehouse.clickhouse, check })
  const moved = () => changedSince(warehouse, snapshot.lsn)
  const first = await compare()
  trial.add(first, false)
  if (first.differing.size === 0 || (await moved())) return
  // An aggregate's part may be visible just before the changelog's part that tells of the change: a second look is past that moment.
  const second = await compare()
  trial.add(second, !(await moved()))
}

async function withSnapshot<Result>(
  { config, services, signal }: VerifyOptions,
  warehouse: OpenedWarehouse,
  work: (snapshot: SourceSnapshot) => Promise<Result>,
): Promise<Result> {
  const snapshot = await openSnapshot(services.postgres)
  try {
    for (const table of warehouse.tables) {
      await giveKey(snapshot.client, table, () => loadHashKey(config, { make: false }))
    }
    await untilVisible(warehouse, snapshot.lsn, signal)
    return await work(snapshot)
  } finally {
    await snapshot.close()
  }
}
