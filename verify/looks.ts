// verify/looks: every report, in as many looks as it takes to judge it while the source may never rest.

import type { Log } from '../runtime/log.ts'
import { attempt, isFailure } from './attempt.ts'
import type { ReportCheck } from './checks.ts'
import { type ReportComparison, ReportVerdict } from './report-verdict.ts'
import { compareReport } from './reports.ts'
import type { SourceSnapshot } from './snapshot.ts'
import { changedSince, type OpenedWarehouse } from './warehouse.ts'

/** How often a report that differs while the source moves is looked at, at most, and how long at all. */
const looks = 5
const patienceMs = 15_000

export interface Looking {
  readonly warehouse: OpenedWarehouse
  readonly log: Log
  readonly signal: AbortSignal
  /** Runs the work in a snapshot whose LSN ClickHouse has reached. */
  inSnapshot(work: (snapshot: SourceSnapshot) => Promise<void>): Promise<void>
}

/** All reports at one snapshot, then those that moved at snapshots of their own, which are read sooner. */
export async function compareReports(
  looking: Looking,
  checks: readonly ReportCheck[],
): Promise<Record<string, ReportComparison>> {
  const trials = new Map(checks.map(check => [check, new ReportVerdict()]))
  const undecided = () => checks.filter(check => trials.get(check)!.state === 'undecided')
  const until = performance.now() + patienceMs
  for (let look = 1; look <= looks && undecided().length > 0; look++) {
    const groups = look === 1 ? [checks] : undecided().map(check => [check])
    for (const group of groups) {
      if (look > 1 && performance.now() > until) break
      await looking.inSnapshot(async snapshot => {
        for (const check of group) await lookAt({ ...looking, snapshot }, check, trials.get(check)!)
      })
    }
  }
  return Object.fromEntries(checks.map(check => [check.name, trials.get(check)!.result()]))
}

async function lookAt(
  { warehouse, snapshot, signal }: Looking & { readonly snapshot: SourceSnapshot },
  check: ReportCheck,
  verdict: ReportVerdict,
): Promise<void> {
  const { clickhouse } = warehouse
  const compare = () => compareReport({ postgres: snapshot.client, clickhouse, check })
  const moved = () => changedSince(warehouse, snapshot.lsn)
  const failure = await attempt(snapshot.client, signal, async () => {
    const first = await compare()
    verdict.add(first, false)
    if (first.differing.size === 0 || (await moved())) return {}
    // An aggregate's part may be visible just before the changelog's part that tells of the change: a second look is past that moment.
    const second = await compare()
    verdict.add(second, !(await moved()))
    return {}
  })
  if (isFailure(failure)) verdict.fail(failure)
}
