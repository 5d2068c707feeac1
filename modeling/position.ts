// modeling/position: points of the source that an aggregate can stand at, and the markers that say
// where it stands.

import type { Clickhouse } from '../clickhouse/client.ts'
import { quoteName, quoteString } from '../clickhouse/quote.ts'
import { tableName } from '../contract/table.ts'
import type { Aggregate } from './aggregate.ts'

/**
 * The state of all tables at one LSN. A cut is a position to fold up to, such as a watermark. The
 * markers of an aggregate are the position that it stands at.
 */
export interface Position {
  /** Every transaction that committed before this LSN is in the state, and no other one. */
  readonly lsn: number
  /** Commit time of the last of them, µs since the Unix epoch, by the source's clock. */
  readonly commitTimeUs: number
  /**
   * By `tableName` and partition, the first offset that is not in the state. It may have more
   * tables than the aggregate. A partition that is not named begins with offset 0.
   */
  readonly offsets: ReadonlyMap<string, readonly number[]>
}

/** `_table` of the marker rows that belong to no captured table. A table's name has a dot. */
const lsnMarker = '@lsn'
const timeMarker = '@commit_time'
export const buildMarker = '@build'

/** `_table`, `_partition`, `_folded`. */
export type MarkerRow = readonly [table: string, partition: number, folded: number]

/** Rows whose sum is the position. */
export function markerRows(aggregate: Aggregate, position: Position): MarkerRow[] {
  const offsets = aggregate.sources.flatMap(({ table }) =>
    offsetsOf(position, tableName(table)).map((offset, partition): MarkerRow => [tableName(table), partition, offset]),
  )
  return [[timeMarker, 0, position.commitTimeUs], [lsnMarker, 0, position.lsn], ...offsets]
}

/** Rows that move the markers from one position to a later one. */
export function markerSteps(aggregate: Aggregate, from: Position, to: Position): MarkerRow[] {
  const before = new Map(markerRows(aggregate, from).map(([table, partition, sum]) => [`${table}/${partition}`, sum]))
  return markerRows(aggregate, to)
    .map(([table, partition, sum]): MarkerRow => [table, partition, sum - (before.get(`${table}/${partition}`) ?? 0)])
    .filter(([, , step]) => step !== 0)
}

/** @throws {Error} when the position does not name the table */
export function offsetsOf(position: Position, table: string): readonly number[] {
  const offsets = position.offsets.get(table)
  if (offsets === undefined) throw new Error(`the position has no offsets of ${table}`)
  return offsets
}

/** The later of two offsets in each partition, and the later LSN and commit time. */
export function laterOf(aggregate: Aggregate, from: Position, cut: Position): Position {
  const offsets = aggregate.sources.map(({ table }) => {
    const [one, other] = [from, cut].map(position => offsetsOf(position, tableName(table))) as [number[], number[]]
    const partitions = Array.from({ length: Math.max(one.length, other.length) }, (_, partition) => partition)
    return [
      tableName(table),
      partitions.map(partition => Math.max(one[partition] ?? 0, other[partition] ?? 0)),
    ] as const
  })
  return {
    lsn: Math.max(from.lsn, cut.lsn),
    commitTimeUs: Math.max(from.commitTimeUs, cut.commitTimeUs),
    offsets: new Map(offsets),
  }
}

/** Whether an aggregate with these markers has everything of the cut. */
export function isCoveredBy(aggregate: Aggregate, cut: Position, at: Position): boolean {
  return markerSteps(aggregate, at, laterOf(aggregate, at, cut)).length === 0
}

/** Number of offsets that a fold from the markers to the cut would read. */
export function recordsBetween(aggregate: Aggregate, at: Position, cut: Position): number {
  return markerSteps(aggregate, at, laterOf(aggregate, at, cut))
    .filter(([table]) => !table.startsWith('@'))
    .reduce((sum, [, , step]) => sum + step, 0)
}

/** Where the aggregate stands. Undefined when it was not built, or its build was interrupted. */
export async function readMarkers(clickhouse: Clickhouse, aggregate: Aggregate): Promise<Position | undefined> {
  const rows = await clickhouse.rows<{ name: string; partition: number; folded: string }>(
    `SELECT _table AS name, _partition AS partition, sum(_folded) AS folded FROM ${quoteName(aggregate.name)} WHERE _table != '' GROUP BY name, partition`,
  )
  const sumOf = (wanted: string) => Number(rows.find(({ name }) => name === wanted)?.folded ?? 0)
  if (sumOf(lsnMarker) === 0) return undefined
  const offsets = aggregate.sources.map(({ table }) => {
    const own = rows.filter(({ name }) => name === tableName(table))
    const list = Array.from({ length: Math.max(0, ...own.map(({ partition }) => partition + 1)) }, () => 0)
    for (const { partition, folded } of own) list[partition] = Number(folded)
    return [tableName(table), list] as const
  })
  return { lsn: sumOf(lsnMarker), commitTimeUs: sumOf(timeMarker), offsets: new Map(offsets) }
}

/** Text of the exception when the markers are not the expected ones. */
export const movedMessage = 'the markers of the aggregate have moved'

/**
 * SELECT of no rows, which fails when the sums of the markers are not these. A statement with
 * positions as literals could otherwise be repeated, and would count its changes twice.
 */
export function expectMarkers(aggregate: Aggregate, rows: readonly MarkerRow[], columns: string): string {
  const sums = rows.filter(([, , sum]) => sum !== 0).map(([table, partition, sum]) => [`${table}/${partition}`, sum])
  sums.sort(([one], [other]) => Buffer.compare(Buffer.from(String(one)), Buffer.from(String(other))))
  const keys = sums.map(([key]) => quoteString(String(key)))
  const expected = `(CAST([${keys.join(', ')}], 'Array(String)'), CAST([${sums.map(([, sum]) => sum).join(', ')}], 'Array(Int64)'))`
  return `SELECT ${columns}
FROM (SELECT sumMap([concat(_table, '/', toString(_partition))], [_folded]) AS _sums FROM ${quoteName(aggregate.name)} WHERE _table != '')
WHERE throwIf(_sums != ${expected}, ${quoteString(movedMessage)})`
}
