// modeling/fold: adds to an aggregate what changed between its markers and a cut.

import type { Clickhouse } from '../clickhouse/client.ts'
import { quoteName, quoteString } from '../clickhouse/quote.ts'
import type { Aggregate } from './aggregate.ts'
import { engineColumns } from './aggregate-table.ts'
import { runAlone } from './one-at-a-time.ts'
import {
  expectMarkers,
  isCoveredBy,
  laterOf,
  type MarkerRow,
  markerRows,
  markerSteps,
  type Position,
  readMarkers,
  recordsBetween,
} from './position.ts'
import { currentsBetween, rowsBetween } from './rows.ts'

export interface FoldOptions {
  /**
   * Where to fold up to. Every change below it is in the changelogs and the current states, and
   * later ones may be too.
   */
  readonly cut: Position
  /** Where the aggregate stands, if known. A wrong one is noticed, and read again. */
  readonly from?: Position
  /** SQL expression that fails when this process may not write. */
  readonly guard?: string
  readonly signal: AbortSignal
}

/** From this many records on, several threads are faster. */
const severalThreads = 10_000

/**
 * Folds up to the cut, in one insert. Repeating it after an unknown outcome does no harm.
 * @returns the new markers, which are never below the old ones. Undefined when the aggregate has no
 *   markers: it must be built
 * @throws {MillraceError} of the statement, among them the error of the guard
 */
export async function fold(
  clickhouse: Clickhouse,
  aggregate: Aggregate,
  { cut, from, guard, signal }: FoldOptions,
): Promise<Position | undefined> {
  let at = from ?? (await readMarkers(clickhouse, aggregate))
  while (at !== undefined && !isCoveredBy(aggregate, cut, at)) {
    const sql = foldStatement(aggregate, { from: at, cut, ...(guard === undefined ? {} : { guard }) })
    const settings = { max_threads: recordsBetween(aggregate, at, cut) < severalThreads ? 1 : 0 }
    const outcome = await runAlone(clickhouse, aggregate, { sql, settings, signal })
    at = outcome === 'done' ? laterOf(aggregate, at, cut) : await readMarkers(clickhouse, aggregate)
  }
  return at
}

/**
 * One insert of differences and markers. It fails when the aggregate's markers are not `from`.
 * Snapshots are taken in the order in which the tables appear: the aggregate, the current states,
 * the changelogs. A current state that is newer than its changelog would make the fold wrong.
 */
export function foldStatement(
  aggregate: Aggregate,
  { from, cut, guard }: { from: Position; cut: Position; guard?: string },
): string {
  const until = laterOf(aggregate, from, cut)
  const range = { from, until }
  const hasChanges = recordsBetween(aggregate, from, until) > 0
  return insertStatement(aggregate, {
    expected: markerRows(aggregate, from),
    steps: markerSteps(aggregate, from, until),
    ...(guard === undefined ? {} : { guard }),
    ...(hasChanges ? { currents: currentsBetween(aggregate, range), rows: rowsBetween(aggregate, range) } : {}),
  })
}

export interface InsertParts {
  /** Into which table; by default the aggregate's own. */
  readonly into?: string
  /** What the markers must be. */
  readonly expected: readonly MarkerRow[]
  readonly steps: readonly MarkerRow[]
  readonly guard?: string
  /** Current states that `rows` reads. */
  readonly currents?: readonly string[]
  /**
   * Common table expressions of the rows that contribute. Without them, only markers are written.
   */
  readonly rows?: string
}

/** Contributions of rows, and the steps of the markers, as one insert. */
export function insertStatement(aggregate: Aggregate, parts: InsertParts): string {
  const { into = aggregate.name, expected, steps, guard, currents = [], rows } = parts
  const target = { ...aggregate, name: into }
  const columns = [...aggregate.keys, ...aggregate.measures]
  const own = columns.map(quoteName).join(', ')
  const zeros = defaults(aggregate)
  const nothing = `${zeros}, '' AS _table, toInt32(0) AS _partition, toInt64(0) AS _folded`
  const checked = guard === undefined ? '' : ` OR ignore(${guard})`
  const cast = columns.map(
    name => `CAST(${quoteName(name)}, ${quoteString(aggregate.types.get(name)!)}) AS ${quoteName(name)}`,
  )
  const sums =
    rows === undefined
      ? []
      : [
          `SELECT ${own}, '' AS _table, toInt32(0) AS _partition, toInt64(0) AS _folded FROM (SELECT ${cast.join(', ')} FROM (WITH ${rows}\nSELECT ${own} FROM (${aggregate.contributions}\n)))`,
        ]
  const list = steps.map(([table, partition, step]) => `(${quoteString(table)}, ${partition}, ${step})`)
  const markers =
    list.length === 0
      ? []
      : [
          `SELECT ${zeros}, _step.1, _step.2, _step.3 FROM (SELECT arrayJoin(CAST([${list.join(', ')}], 'Array(Tuple(String, Int32, Int64))')) AS _step)`,
        ]
  return `INSERT INTO ${quoteName(into)} (${own}, ${engineColumns.join(', ')})
${[
  `${expectMarkers(target, expected, nothing)}${checked}`,
  ...currents.map(current => `SELECT ${nothing} FROM ${quoteName(current)} WHERE 0`),
  ...sums,
  ...markers,
].join('\nUNION ALL ')}`
}

/** A row of keys and measures that adds nothing. */
export function defaults({ keys, measures, types }: Aggregate): string {
  return [...keys, ...measures]
    .map(name => `defaultValueOfTypeName(${quoteString(types.get(name)!)}) AS ${quoteName(name)}`)
    .join(', ')
}
