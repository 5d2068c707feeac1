// verify/compare-reports: compares every report, in several snapshots while the source changes.

import type { Log } from '../runtime/log.ts'
import { attempt, type Failure, isFailure } from './attempt.ts'
import type { ReportCheck } from './checks.ts'
import { compareReport, type DifferingRow, type ReportReading } from './reports.ts'
import type { SourceSnapshot } from './snapshot.ts'
import { changedSince, type OpenedWarehouse } from './warehouse.ts'

/**
 * Undecided: some rows differed in every comparison, and the source changed during each of them.
 * Failed: the report could not be compared.
 */
export type ReportState = 'equal' | 'different' | 'undecided' | 'failed'

export interface ReportComparison {
  readonly state: ReportState
  /** Rows that Postgres computes. */
  readonly rows: number
  /** Rows that differ or, for an undecided report, that differed in every comparison. */
  readonly differing: number
  readonly keys: readonly DifferingRow[]
  readonly failure?: Failure
}

const shownRows = 20

/**
 * The snapshot of Postgres is slightly older than the report. So a difference counts only if
 * nothing changed in between.
 */
export class ReportVerdict {
  #rows = 0
  /** Rows that differed in every comparison so far. */
  #suspects: ReadonlyMap<string, DifferingRow> | undefined
  #state: ReportState = 'undecided'
  #failure: Failure | undefined

  get state(): ReportState {
    return this.#state
  }

  /**
   * @param quiet whether the source did not change between the snapshot and the read of the view
   */
  add({ rows, differing }: ReportReading, quiet: boolean): void {
    const before = this.#suspects
    this.#rows = rows
    this.#suspects =
      before === undefined || quiet ? differing : new Map([...differing].filter(([key]) => before.has(key)))
    if (this.#suspects.size === 0) this.#state = 'equal'
    else if (quiet) this.#state = 'different'
  }

  /** The report could not be compared. It is not tried again. */
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

/**
 * Limits for a report that differs while the source changes: comparisons, and ms for all reports.
 */
const mostAttempts = 5
const limitMs = 15_000

export interface ReportOptions {
  readonly warehouse: OpenedWarehouse
  readonly log: Log
  readonly signal: AbortSignal
  /** Runs the work in a snapshot whose LSN ClickHouse has reached. */
  inSnapshot(work: (snapshot: SourceSnapshot) => Promise<void>): Promise<void>
}

/**
 * Compares all reports in one snapshot, then each undecided report in a snapshot of its own, which
 * is read sooner.
 */
export async function compareReports(
  options: ReportOptions,
  checks: readonly ReportCheck[],
): Promise<Record<string, ReportComparison>> {
  const verdicts = new Map(checks.map(check => [check, new ReportVerdict()]))
  const undecided = () => checks.filter(check => verdicts.get(check)!.state === 'undecided')
  const until = performance.now() + limitMs
  for (let attempts = 1; attempts <= mostAttempts && undecided().length > 0; attempts++) {
    const groups = attempts === 1 ? [checks] : undecided().map(check => [check])
    for (const group of groups) {
      if (attempts > 1 && performance.now() > until) break
      await options.inSnapshot(async snapshot => {
        for (const check of group) await compareOnce({ ...options, snapshot }, check, verdicts.get(check)!)
      })
    }
  }
  return Object.fromEntries(checks.map(check => [check.name, verdicts.get(check)!.result()]))
}

async function compareOnce(
  { warehouse, snapshot, signal }: ReportOptions & { readonly snapshot: SourceSnapshot },
  check: ReportCheck,
  verdict: ReportVerdict,
): Promise<void> {
  const { clickhouse } = warehouse
  const compare = () => compareReport({ postgres: snapshot.client, clickhouse, check })
  const hasChanged = () => changedSince(warehouse, snapshot.lsn)
  const failure = await attempt(snapshot.client, signal, async () => {
    const first = await compare()
    verdict.add(first, false)
    if (first.differing.size === 0 || (await hasChanged())) return {}
    // A part of an aggregate may become visible just before the changelog's part. A second
    // comparison sees both.
    const second = await compare()
    verdict.add(second, !(await hasChanged()))
    return {}
  })
  if (isFailure(failure)) verdict.fail(failure)
}
