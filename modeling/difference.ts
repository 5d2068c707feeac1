// modeling/difference: compares an aggregate with its contributions over the state at its markers.

import type { Clickhouse } from '../clickhouse/client.ts'
import { exceptionCode } from '../clickhouse/errors.ts'
import { quoteName, quoteString } from '../clickhouse/quote.ts'
import type { Aggregate } from './aggregate.ts'
import { defaults } from './fold.ts'
import { foldSettings } from './one-at-a-time.ts'
import { expectMarkers, markerRows, movedMessage, type Position, readMarkers } from './position.ts'
import { currentsOf, rowsAt } from './rows.ts'

/**
 * SELECT of the cells that differ, with what the aggregate has more. It fails when the markers are
 * not `at`. It is exact while changes and folds go on, because it reads one snapshot of each table.
 */
function differenceSelect(aggregate: Aggregate, at: Position): string {
  const { keys, measures, types, contributions } = aggregate
  const own = [...keys, ...measures].map(quoteName).join(', ')
  const negative = [...keys.map(quoteName), ...measures.map(name => `-${quoteName(name)}`)].join(', ')
  const sums = measures.map(name => `CAST(sum(${quoteName(name)}), ${quoteString(types.get(name)!)})`)
  const named = sums.map((sum, index) => `${sum} AS ${quoteName(measures[index]!)}`)
  const zeros = defaults(aggregate)
  return `SELECT * FROM (SELECT ${[...keys.map(quoteName), ...named].join(', ')} FROM (
${[
  expectMarkers(aggregate, markerRows(aggregate, at), zeros),
  ...currentsOf(aggregate).map(current => `SELECT ${zeros} FROM ${quoteName(current)} WHERE 0`),
  `SELECT ${own} FROM ${quoteName(aggregate.name)}`,
  `SELECT ${negative} FROM (WITH ${rowsAt(aggregate, at)}\nSELECT ${own} FROM (${contributions}\n))`,
].join('\nUNION ALL ')}
) GROUP BY ${keys.length === 0 ? 'tuple()' : keys.map(quoteName).join(', ')})
WHERE ${measures.map(name => `${quoteName(name)} != 0`).join(' OR ')}`
}

export interface Difference {
  /** The markers at the time of the comparison. */
  readonly at: Position
  /** Cells with what the aggregate has more than it should. */
  readonly cells: readonly Readonly<Record<string, unknown>>[]
}

/**
 * @param limit of cells
 * @returns undefined when the aggregate has no markers
 */
export async function readDifference(
  clickhouse: Clickhouse,
  aggregate: Aggregate,
  { signal, limit = 100 }: { signal: AbortSignal; limit?: number },
): Promise<Difference | undefined> {
  for (;;) {
    signal.throwIfAborted()
    const at = await readMarkers(clickhouse, aggregate)
    if (at === undefined) return undefined
    const sql = `${differenceSelect(aggregate, at)} LIMIT ${limit}`
    try {
      return { at, cells: await clickhouse.rows(sql, {}, snapshotSettings) }
    } catch (error) {
      // A fold has moved the markers since they were read.
      if (exceptionCode(error) !== 395 || !String(error).includes(movedMessage)) throw error
    }
  }
}

const snapshotSettings = Object.fromEntries(
  Object.entries(foldSettings).filter(([name]) => !/insert|dedup|replace_running/.test(name)),
)
