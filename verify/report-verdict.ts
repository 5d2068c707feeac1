// verify/report-verdict: what several looks at a report say together, while the source may move between and during them.

import type { Failure } from './attempt.ts'
import type { DifferingRow, Look } from './reports.ts'

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
  add({ rows, differing }: Look, quiet: boolean): void {
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
