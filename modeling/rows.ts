// modeling/rows: `schema.table.rows` as common table expressions: the rows of a position, or what
// changed between two positions.
// A common table expression hides a view of the same name, so the author's SELECT reads these.

import { changelogName, currentName, storageName } from '../clickhouse/ddl.ts'
import { quoteName, unusedName } from '../clickhouse/quote.ts'
import { type Table, tableName } from '../contract/table.ts'
import type { Aggregate, Source } from './aggregate.ts'
import { rowsSuffix } from './model.ts'
import { offsetsOf, type Position } from './position.ts'

/** From the markers of the aggregate up to the cut. */
export interface Range {
  readonly from: Position
  readonly until: Position
}

/**
 * Old rows with `_sign` −1 and new rows with +1, of every key that was touched in the range. A row
 * that was touched above `from` is read from the changelog alone. Any other row is read from the
 * current state, where it has not changed since. Images of a row are ordered by `_version` and
 * `_sign`: they may be in several partitions.
 */
export function rowsBetween(aggregate: Aggregate, range: Range): string {
  return aggregate.sources.map(source => asRows(source, changedRows(aggregate, source, range))).join(',\n')
}

/**
 * The rows at a position, with `_sign` +1. A row that was touched above it is what the first image
 * above says. Any other row is what the current state says.
 * @param slice SQL condition on the columns `by`
 */
export function rowsAt(aggregate: Aggregate, position: Position, slice = '1'): string {
  return aggregate.sources.map(source => asRows(source, stateRows(source, position, slice))).join(',\n')
}

/** The current states that `rowsBetween` reads. */
export function currentsBetween(aggregate: Aggregate, range: Range): string[] {
  return aggregate.sources
    .filter(source => otherKeys(aggregate, source, range).length > 0)
    .map(({ table }) => currentName(table))
}

/** All current states of the aggregate's tables. */
export function currentsOf(aggregate: Aggregate): string[] {
  return aggregate.sources.map(({ table }) => currentName(table))
}

function asRows({ table }: Source, select: string): string {
  return `${quoteName(storageName(table.schema, table.name) + rowsSuffix)} AS (\n${select}\n)`
}

const listOf = (columns: readonly string[]) => columns.map(quoteName).join(', ')
const tupleOf = (columns: readonly string[]) => (columns.length === 1 ? quoteName(columns[0]!) : `(${listOf(columns)})`)

/** Larger than the place of any image. */
const endOfPlaces = "toUInt128('340282366920938463463374607431768211455')"

/** Orders the images of a row: the old image of a change comes before its new one. */
const place = 'bitOr(bitShiftLeft(_version, 1), toUInt128(_sign > 0))'

function changedRows(aggregate: Aggregate, source: Source, range: Range): string {
  const { table, columns } = source
  const changelog = quoteName(changelogName(table))
  const keys = otherKeys(aggregate, source, range)
  const until = offsetsOf(range.until, tableName(table))
  // Without look-ups in the current state, nothing above the range is needed.
  const images = keys.length === 0 ? within(table, range) : above(table, range.from)
  const own = listOf(columns)
  const [sign, at, inside, first, last] = ['_was', '_place', '_inside', '_first', '_last'].map(name =>
    quoteName(unusedName(columns, name)),
  ) as [string, string, string, string, string]
  const lookUp =
    keys.length === 0
      ? ''
      : `
    UNION ALL SELECT ${own}, toInt8(-1), ${endOfPlaces}, toUInt8(0) FROM ${quoteName(currentName(table))} FINAL
    WHERE ${tupleOf(aggregate.by)} IN (${keys.join(' UNION ALL ')})`
  return `  SELECT ${own}, arrayJoin(multiIf(
    ${sign} < 0 AND ${at} = ${first} AND ${last} = 0, [toInt8(-1), toInt8(1)],
    ${sign} < 0 AND ${at} = ${first}, [toInt8(-1)],
    ${sign} > 0 AND ${at} = ${last}, [toInt8(1)],
    CAST([], 'Array(Int8)'))) AS _sign
  FROM (SELECT ${own}, ${sign}, ${at}, min(${at}) OVER _row AS ${first}, max(if(${inside}, ${at}, 0)) OVER _row AS ${last} FROM (
    SELECT ${own}, _sign AS ${sign}, ${place} AS ${at}, _offset < ${arrayOf(until)}[_partition + 1] AS ${inside}
    FROM ${changelog} WHERE ${images}${lookUp}
  ) WINDOW _row AS (PARTITION BY ${listOf(table.key)}))`
}

function stateRows({ table, columns }: Source, position: Position, slice: string): string {
  const changelog = quoteName(changelogName(table))
  const own = listOf(columns)
  const [sign, at, first] = ['_was', '_place', '_first'].map(name => quoteName(unusedName(columns, name))) as [
    string,
    string,
    string,
  ]
  const later = `${above(table, position)} AND ${slice}`
  return `  SELECT ${own}, toInt8(1) AS _sign FROM ${quoteName(currentName(table))} FINAL
  WHERE ${slice} AND ${tupleOf(table.key)} NOT IN (SELECT ${listOf(table.key)} FROM ${changelog} WHERE ${later})
  UNION ALL SELECT ${own}, toInt8(1) FROM (
    SELECT ${own}, _sign AS ${sign}, ${place} AS ${at}, min(${at}) OVER (PARTITION BY ${listOf(table.key)}) AS ${first}
    FROM ${changelog} WHERE ${later}
  ) WHERE ${at} = ${first} AND ${sign} < 0`
}

/**
 * SELECTs of the keys whose rows of this source must be looked up. When `by` is the primary key
 * itself, the source's own changes have all rows of their keys.
 */
function otherKeys(aggregate: Aggregate, source: Source, range: Range): string[] {
  const { key } = source.table
  const isOwn = key.length === aggregate.by.length && key.every(column => aggregate.by.includes(column))
  return aggregate.sources
    .filter(other => !(isOwn && other === source) && hasChanges(other.table, range))
    .map(
      ({ table }) =>
        `SELECT ${listOf(aggregate.by)} FROM ${quoteName(changelogName(table))} WHERE ${within(table, range)}`,
    )
}

function bounds(table: Table, { from, until }: Range): { partition: number; start: number; end: number }[] {
  const starts = offsetsOf(from, tableName(table))
  return offsetsOf(until, tableName(table))
    .map((end, partition) => ({ partition, start: starts[partition] ?? 0, end }))
    .filter(({ start, end }) => start < end)
}

function hasChanges(table: Table, range: Range): boolean {
  return bounds(table, range).length > 0
}

/** Literals, so that the primary index (_partition, _offset) finds the granules. */
function within(table: Table, range: Range): string {
  const parts = bounds(table, range).map(
    ({ partition, start, end }) => `_partition = ${partition} AND _offset >= ${start} AND _offset < ${end}`,
  )
  return parts.length === 0 ? '0' : `(${parts.join(' OR ')})`
}

function above(table: Table, position: Position): string {
  const starts = offsetsOf(position, tableName(table))
  const parts = starts.map((start, partition) => `_partition = ${partition} AND _offset >= ${start}`)
  return `(${[...parts, `_partition >= ${starts.length}`].join(' OR ')})`
}

function arrayOf(offsets: readonly number[]): string {
  return `CAST([${offsets.join(', ')}], 'Array(UInt64)')`
}
