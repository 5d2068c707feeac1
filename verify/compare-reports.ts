// verify/compare-reports: every report, compared in as many snapshots as a verdict needs while the source keeps changing.

import type { Log } from '../runtime/log.ts'
import { attempt, type Failure, isFailure } from './attempt.ts'
import type { ReportCheck } from './checks.ts'
import { compareReport, type DifferingRow, type ReportReading } from './reports.ts'
import type { SourceSnapshot } from './snapshot.ts'
import { changedSince, type OpenedWarehouse } from './warehouse.ts'

/** Undecided: some rows were never found equal, nor was the source ever at rest while they differed. Failed: it could not be compared. */
export type ReportState = 'equal' | 'different' | 'undecided' | 'failed'

export interface ReportComparison {
  readonly state: ReportState
  /** Rows that Postgres computes. */
  readonly rows: number
  /** Rows that differ or, of an undecided report, that changed during every look. */
  readonly differing: number
  readonly keys: readonly DifferingRow[]
  readonly failure?: Failure
}

const shownRows = 20

/** A report shows the present and Postgres a moment just before it, so a difference counts only where nothing happened between. */
export class ReportVerdict {
  #rows = 0
  /** Rows that no look so far has found equal. */
  #suspects: ReadonlyMap<string, DifferingRow> | undefined
  #state: ReportState = 'undecided'
  #failure: Failure | undefined

  get state(): ReportState {
    return this.#state
  }

  /** @param quiet whether the source was at rest from the snapshot until the view had been read */
  add({ rows, differing }: ReportReading, quiet: boolean): void {
    const before = this.#suspects
    this.#rows = rows
    this.#suspects =
      before === undefined || quiet ? differing : new Map([...differing].filter(([key]) => before.has(key)))
    if (this.#suspects.size === 0) this.#state = 'equal'
    else if (quiet) this.#state = 'different'
  }

  /** It could not be looked at, which the next look need not try again. */
  fail(failure: Failure): void {
    this.#state = 'failed'
    this.#failure = failure
  }

  result(): ReportComparison {
    const suspects = [...(this.#suspects?.values() ?? [])]
    const result = {
      state: this.#state,
      rows: this.#rows,
      differing: suspects.length,
      keys: suspects.slice(0, shownRows),
    }
    return this.#failure === undefined ? result : { ...result, failure: this.#failure }
  }
}

/** How often a report that differs while the source moves is looked at, at most, and how long at all. */
const looks = 5
const patienceMs = 15_000

export interface ReportOptions {
  readonly warehouse: OpenedWarehouse
  readonly log: Log
  readonly signal: AbortSignal
  /** Runs the work in a snapshot whose LSN ClickHouse has reached. */
  inSnapshot(work: (snapshot: SourceSnapshot) => Promise<void>): Promise<void>
}

/** All reports at one snapshot, then those that moved at snapshots of their own, which are read sooner. */
export async function compareReports(
  looking: ReportOptions,
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
        for (const check of group) await compareOnce({ ...looking, snapshot }, check, trials.get(check)!)
      })
    }
  }
  return Object.fromEntries(checks.map(check => [check.name, trials.get(check)!.result()]))
}

async function compareOnce(
  { warehouse, snapshot, signal }: ReportOptions & { readonly snapshot: SourceSnapshot },
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
