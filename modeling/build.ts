// modeling/build: fills an aggregate with the state at a cut, while changes flow.

import { randomInt } from 'node:crypto'
import type { Clickhouse } from '../clickhouse/client.ts'
import { currentName } from '../clickhouse/ddl.ts'
import { quoteName, quoteString } from '../clickhouse/quote.ts'
import { clickhouseType } from '../contract/types.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Aggregate } from './aggregate.ts'
import { type InsertParts, insertStatement } from './fold.ts'
import { runAlone } from './one-at-a-time.ts'
import { buildMarker, type MarkerRow, markerRows, type Position } from './position.ts'
import { currentsOf, rowsAt } from './rows.ts'

export interface BuildOptions {
  /** As of a fold. */
  readonly cut: Position
  /** As of a fold. */
  readonly guard?: string
  readonly signal: AbortSignal
  /**
   * Builds into a table of its own and then exchanges the two, so that readers see the old
   * aggregate until the new one is complete.
   */
  readonly beside?: boolean
  /** Rows of the largest table that one insert reads. */
  readonly sliceRows?: number
}

const defaultSliceRows = 500_000

/** Suffix of the table that a build beside fills. */
const nextSuffix = '.next'

/**
 * Builds the aggregate from the current states, rolled back to the cut by the changelogs. What an
 * interrupted build left is removed first. Until the build is complete, the aggregate has no
 * markers.
 * @returns the new markers, which are the cut
 * @throws {MillraceError} CLICKHOUSE_BUSY when another process builds the same aggregate
 */
export async function build(clickhouse: Clickhouse, aggregate: Aggregate, options: BuildOptions): Promise<Position> {
  const { cut, signal, beside = false } = options
  if (!(cut.lsn > 0)) throw new Error('an aggregate is built at an LSN')
  const into = beside ? aggregate.name + nextSuffix : aggregate.name
  const run = async (sql: string) => {
    // A statement that creates, empties or renames a table cannot contain the guard.
    if (options.guard !== undefined) await clickhouse.rows(`SELECT ${options.guard}`)
    await runAlone(clickhouse, aggregate, { sql, signal })
  }
  if (beside) {
    await run(`DROP TABLE IF EXISTS ${quoteName(into)} SYNC`)
    await run(`CREATE TABLE ${quoteName(into)} AS ${quoteName(aggregate.name)}`)
  } else await run(`TRUNCATE TABLE ${quoteName(into)}`)
  const slices = await slicesOf(clickhouse, aggregate, options.sliceRows ?? defaultSliceRows)
  for (const sql of buildStatements(aggregate, { ...options, into, slices })) {
    if ((await runBig(clickhouse, aggregate, { sql, signal })) === 'done') continue
    throw new MillraceError('CLICKHOUSE_BUSY', {
      what: `another process builds the aggregate ${aggregate.name}`,
      where: `${clickhouse.url}, database ${aggregate.database}`,
      next: 'millrace builds it again',
    })
  }
  if (!beside) return cut
  await run(`EXCHANGE TABLES ${quoteName(aggregate.name)} AND ${quoteName(into)}`)
  await run(`DROP TABLE ${quoteName(into)} SYNC`)
  return cut
}

function runBig(clickhouse: Clickhouse, aggregate: Aggregate, { sql, signal }: { sql: string; signal: AbortSignal }) {
  return runAlone(clickhouse, aggregate, { sql, settings: { max_threads: 0 }, signal })
}

/**
 * One insert a slice. Each expects what the one before it has left, so that none counts twice and
 * two builds do not mix. The last one replaces the marker of the build by those of the cut.
 */
export function buildStatements(
  aggregate: Aggregate,
  {
    cut,
    guard,
    into = aggregate.name,
    slices = ['1'],
  }: Pick<BuildOptions, 'cut' | 'guard'> & { into?: string; slices?: readonly string[] },
): string[] {
  const start = randomInt(1, 2 ** 40)
  const marker = (sum: number): MarkerRow => [buildMarker, 0, sum]
  const statement = (parts: Omit<InsertParts, 'into' | 'guard'>) =>
    insertStatement(aggregate, { into, ...parts, ...(guard === undefined ? {} : { guard }) })
  const currents = currentsOf(aggregate)
  return [
    statement({ expected: [], steps: [marker(start)] }),
    ...slices.map((slice, index) =>
      statement({
        expected: [marker(start + index)],
        steps: [marker(1)],
        currents,
        rows: rowsAt(aggregate, cut, slice),
      }),
    ),
    statement({
      expected: [marker(start + slices.length)],
      steps: [marker(-start - slices.length), ...markerRows(aggregate, cut).filter(([, , sum]) => sum !== 0)],
    }),
  ]
}

/**
 * Conditions that divide the keys into ranges of the first column of `by`, which leads the sorting
 * key of the current states.
 */
async function slicesOf(clickhouse: Clickhouse, { by, sources }: Aggregate, sliceRows: number): Promise<string[]> {
  const names = sources.map(({ table }) => currentName(table))
  const [largest] = await clickhouse.rows<{ name: string; rows: string }>(
    `SELECT name, total_rows AS rows FROM system.tables
WHERE database = currentDatabase() AND name IN {names:Array(String)} ORDER BY total_rows DESC LIMIT 1`,
    { names },
  )
  if (largest === undefined || Number(largest.rows) <= sliceRows) return ['1']
  const [first] = by as [string]
  const column = quoteName(first)
  const found = await clickhouse.rows<{ bound: string }>(
    `SELECT DISTINCT toString(${column}) AS bound FROM (SELECT ${column}, rowNumberInAllBlocks() AS _row FROM (
  SELECT ${column} FROM ${quoteName(largest.name)} ORDER BY ${column})) WHERE _row > 0 AND _row % ${sliceRows} = 0`,
  )
  const type = clickhouseType(sources[0]!.table.columns.find(({ name }) => name === first)!)
  const bounds = found.map(({ bound }) => `CAST(${quoteString(bound)}, ${quoteString(type)})`)
  return [...bounds, undefined].map((end, index) => {
    const start = bounds[index - 1]
    const parts = [
      ...(start === undefined ? [] : [`${column} >= ${start}`]),
      ...(end === undefined ? [] : [`${column} < ${end}`]),
    ]
    return parts.length === 0 ? '1' : `(${parts.join(' AND ')})`
  })
}
