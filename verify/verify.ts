// verify/verify: compares Postgres and ClickHouse at one LSN: tables, reports and stable names.

import { formatLsn } from '../contract/position.ts'
import { loadModel, type Model } from '../modeling/model.ts'
import { identify } from '../postgres/replication/history.ts'
import type { Config } from '../runtime/config/config.ts'
import { loadHashKey } from '../runtime/config/hash-key.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { loadChecks, type ReportCheck, uncheckedViews, withPolicies } from './checks.ts'
import { compareReports, type ReportComparison } from './compare-reports.ts'
import { setHashKey } from './policies.ts'
import { openSnapshot, type SourceSnapshot } from './snapshot.ts'
import { checkStableNames } from './stable-names.ts'
import { compareTables, type TableComparison } from './tables.ts'
import { type OpenedWarehouse, openLiveWarehouse, strayChangelogs, untilVisible } from './warehouse.ts'

type Outcome = 'equal' | 'different' | 'undecided'

export interface Verification {
  /** Everything is equal. */
  readonly ok: boolean
  /**
   * `different` if anything differs. Otherwise `undecided` if something could not be compared or
   * decided.
   */
  readonly outcome: Outcome
  /** LSN of the comparison of tables. */
  readonly lsn: string
  readonly tables: Readonly<Record<string, TableComparison>>
  readonly reports: Readonly<Record<string, ReportComparison>>
  /** Wrong stable names in ClickHouse: name → the rest of a sentence. */
  readonly names: Readonly<Record<string, string>>
  /** Tables that the configuration names and that are not captured. */
  readonly uncaptured: readonly string[]
  /** Published views of the model that have no check. */
  readonly unchecked: readonly string[]
}

export interface VerifyOptions {
  readonly config: Config
  readonly services: { readonly postgres: string; readonly clickhouse: { url: string; user: string; password: string } }
  readonly log: Log
  readonly signal: AbortSignal
}

/**
 * Compares as of one LSN, while changes flow. Tables are compared exactly. Reports show the
 * present, so they are compared row by row in several snapshots (see `ReportVerdict`). A failed
 * comparison is the result of its table or report, and the others continue.
 * @throws {MillraceError} NOTHING_LOADED, NOT_CAUGHT_UP; GENERATION_CHANGED for another source;
 *   CONFIG_INVALID for an unreadable check; the signal's reason, at once
 */
export async function verify(options: VerifyOptions): Promise<Verification> {
  const { config, signal } = options
  const model = config.model === undefined ? undefined : loadModel(config.model, config.reportTimeZone)
  const checks = model === undefined ? [] : loadChecks(model, config.reportTimeZone)
  const warehouse = await openLiveWarehouse(options.services.clickhouse, config.name)
  const close = () => warehouse.clickhouse.close()
  signal.addEventListener('abort', close, { once: true })
  try {
    requireSameSource(warehouse, (await identify(options.services.postgres, signal)).source)
    const { names, ...compared } = await compare(options, warehouse, { model, checks })
    const outcome = outcomeOf(compared, names)
    const unchecked = model === undefined ? [] : uncheckedViews(model, checks)
    return { ok: outcome === 'equal', outcome, ...compared, names, unchecked }
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', close)
    await close()
  }
}

/** Equal rows in another database, such as a copy, prove nothing. */
function requireSameSource({ database, source, clickhouse }: OpenedWarehouse, identity: string): void {
  if (source === identity) return
  throw new MillraceError('GENERATION_CHANGED', {
    what: `ClickHouse holds rows that were loaded from ${source}, and this database is ${identity} (system identifier and name), so nothing was compared`,
    where: `${clickhouse.url}, database ${database}`,
    next: 'correct source.url or clickhouse.url; if that database is gone for good, load this one: millrace producer --new-generation',
  })
}

interface Subject {
  readonly model: Model | undefined
  readonly checks: readonly ReportCheck[]
}

async function compare(options: VerifyOptions, warehouse: OpenedWarehouse, { model, checks }: Subject) {
  const { config, log, signal } = options
  const names = {
    ...(await checkStableNames({ ...warehouse, views: model?.publish ?? [] })),
    ...strayChangelogs(warehouse),
  }
  const { lsn, tables, uncaptured } = await withSnapshot(options, warehouse, async snapshot => ({
    lsn: formatLsn(snapshot.lsn),
    ...(await compareTables({ warehouse, snapshot, config, misnamed: names, signal })),
  }))
  const inSnapshot = (work: (snapshot: SourceSnapshot) => Promise<void>) => withSnapshot(options, warehouse, work)
  const reports = await compareReports(
    { warehouse, log, signal, inSnapshot },
    withPolicies(checks, warehouse.tables).filter(({ database, name }) => names[`${database}.${name}`] === undefined),
  )
  return { lsn, tables, reports, names, uncaptured }
}

type Compared = Pick<Verification, 'tables' | 'reports'>

function outcomeOf({ tables, reports }: Compared, names: Verification['names']): Outcome {
  const states = [...Object.values(tables), ...Object.values(reports)].map(({ state }) => state)
  if (states.includes('different') || Object.keys(names).length > 0) return 'different'
  return states.every(state => state === 'equal') ? 'equal' : 'undecided'
}

async function withSnapshot<Result>(
  { config, services, log, signal }: VerifyOptions,
  warehouse: OpenedWarehouse,
  work: (snapshot: SourceSnapshot) => Promise<Result>,
): Promise<Result> {
  const snapshot = await openSnapshot(services.postgres, { log, signal })
  try {
    for (const table of warehouse.tables) {
      await setHashKey(snapshot.client, table, () => loadHashKey(config, { make: false }))
    }
    await untilVisible(warehouse, snapshot.lsn, { log, signal })
    return await work(snapshot)
  } finally {
    await snapshot.close()
  }
}
