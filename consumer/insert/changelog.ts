// consumer/insert/changelog: which offsets the changelogs in ClickHouse contain.
// Only reads. Every query uses the primary key.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { changelogName } from '../../clickhouse/ddl.ts'
import { quoteName, quoteString } from '../../clickhouse/quote.ts'
import type { Position } from '../../contract/position.ts'
import type { Table } from '../../contract/table.ts'
import { partitionKey, type Slice } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'

/** The last record of a partition in a changelog. */
export interface LastRow {
  readonly offset: number
  readonly position: Position
  readonly isTruncate: boolean
}

/** The records of a partition in a changelog, from an offset on. */
export interface StoredRecords {
  /** Number of offsets. */
  readonly count: number
  readonly last: LastRow
}

/** Offsets without rows, and the position of the last record before them. */
export interface Gap {
  readonly start: number
  readonly end: number
  readonly before: Position | undefined
}

interface ReadFrom {
  readonly table: TargetTable
  readonly partition: number
  readonly from: number
}

/** Characters per statement, well below `max_query_size`, which is 256 KB by default. */
const mostText = 100_000

interface StoredRow {
  readonly topic: string
  readonly partition: number
  readonly stored: string
  readonly offset: string
  readonly lsn: string
  readonly ordinal: string
  readonly op: string
}

/** By partition key. A partition without records from its offset on has no entry. */
export async function readStoredRecords(
  clickhouse: Clickhouse,
  places: readonly ReadFrom[],
): Promise<Map<string, StoredRecords>> {
  const byTable = new Map<TargetTable, string[]>()
  for (const { table, partition, from } of places) {
    byTable.set(table, [...(byTable.get(table) ?? []), `(_partition = ${partition} AND _offset >= ${from})`])
  }
  const selects = [...byTable].map(
    ([
      { topic, table },
      ranges,
    ]) => `SELECT ${quoteString(topic)} AS topic, _partition AS partition, uniqExact(_offset) AS stored,
  max(_offset) AS offset, argMax(_lsn, _offset) AS lsn, argMax(_ordinal, _offset) AS ordinal, argMax(_op, _offset) AS op
FROM ${quoteName(changelogName(table))} WHERE ${ranges.join(' OR ')} GROUP BY _partition`,
  )
  const stored = new Map<string, StoredRecords>()
  for (const sql of joined(selects)) {
    for (const row of await clickhouse.rows<StoredRow>(sql)) {
      stored.set(partitionKey(row.topic, row.partition), { count: Number(row.stored), last: lastRow(row) })
    }
  }
  return stored
}

function joined(selects: readonly string[]): string[] {
  const statements: string[] = []
  for (const select of selects) {
    const last = statements.at(-1)
    if (last === undefined || last.length + select.length > mostText) statements.push(select)
    else statements[statements.length - 1] = `${last}\nUNION ALL ${select}`
  }
  return statements
}

function lastRow({ offset, lsn, ordinal, op }: Omit<StoredRow, 'topic' | 'partition' | 'stored'>): LastRow {
  return { offset: Number(offset), position: { lsn: Number(lsn), ordinal: Number(ordinal) }, isTruncate: op === 't' }
}

/** The last record of a partition below an offset. */
export async function readLast(
  clickhouse: Clickhouse,
  table: Table,
  { partition, below = Number.MAX_SAFE_INTEGER }: { partition: number; below?: number },
): Promise<LastRow | undefined> {
  const [row] = await clickhouse.rows<Omit<StoredRow, 'topic' | 'partition' | 'stored'>>(
    `SELECT _offset AS offset, _lsn AS lsn, _ordinal AS ordinal, _op AS op FROM ${quoteName(changelogName(table))}
WHERE _partition = ${partition} AND _offset < ${below} ORDER BY _partition DESC, _offset DESC LIMIT 1`,
  )
  return row && lastRow(row)
}

/** The offsets between `from` and `to` (exclusive) that a changelog lacks. */
export async function readGaps(
  clickhouse: Clickhouse,
  table: Table,
  { partition, from, to }: { partition: number; from: number; to: number },
): Promise<Gap[]> {
  const rows = await clickhouse.rows<{ start: string; end: string; lsn: string; ordinal: string }>(
    `SELECT at + 1 AS start, next AS end, lsn, ordinal FROM (
  SELECT at, lsn, ordinal,
    leadInFrame(at, 1, toInt64(${to})) OVER (ORDER BY at ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next
  FROM (
    SELECT toInt64(_offset) AS at, any(_lsn) AS lsn, any(_ordinal) AS ordinal FROM ${quoteName(changelogName(table))}
    WHERE _partition = ${partition} AND _offset >= ${from} AND _offset < ${to} GROUP BY _offset
    UNION ALL SELECT toInt64(${from}) - 1, 0, 0
  )
) WHERE next > start ORDER BY start`,
  )
  const first = rows[0] === undefined ? undefined : await readLast(clickhouse, table, { partition, below: from })
  return rows.map(({ start, end, lsn, ordinal }) => {
    const isFirst = Number(start) === from
    const before = isFirst ? first?.position : { lsn: Number(lsn), ordinal: Number(ordinal) }
    return { start: Number(start), end: Number(end), before }
  })
}

/**
 * By partition number, the offsets of the slices that the changelog contains. TRUNCATE records are
 * not included.
 */
export async function readStoredOffsets(
  clickhouse: Clickhouse,
  table: Table,
  slices: readonly Slice[],
): Promise<Map<number, Set<number>>> {
  const stored = new Map<number, Set<number>>()
  if (slices.length === 0) return stored
  const rows = await clickhouse.rows<{ partition: number; offset: string }>(
    `SELECT DISTINCT _partition AS partition, _offset AS offset FROM ${quoteName(changelogName(table))} WHERE ${rangesOf(slices)}`,
  )
  for (const { partition, offset } of rows) {
    stored.set(partition, (stored.get(partition) ?? new Set()).add(Number(offset)))
  }
  return stored
}

/** SQL condition for the changelog's rows of the slices. */
export function rangesOf(slices: readonly Pick<Slice, 'partition' | 'start' | 'end'>[]): string {
  const ranges = slices.map(
    ({ partition, start, end }) => `(_partition = ${partition} AND _offset >= ${start} AND _offset < ${end})`,
  )
  return `(${ranges.join(' OR ')})`
}
