// verify/sides: one table in either database: sums over ranges of keys, and single keys.

import type { Clickhouse } from '../clickhouse/client.ts'
import { changelogName, currentName } from '../clickhouse/ddl.ts'
import { quoteName, quoteString, unusedName } from '../clickhouse/quote.ts'
import type { Table } from '../contract/table.ts'
import { type Client, query } from '../postgres/client/client.ts'
import { quoteTable } from '../postgres/client/quote.ts'
import { clickhouseRow, keyRange, postgresRow } from './canonical.ts'
import { readRows } from './reading.ts'

/**
 * The rows of one key or of a range of keys: their number, and the sum of their digests as decimal
 * text.
 */
export interface Sum {
  /** The key's text, or the beginning of its MD5 in hex digits. */
  readonly of: string
  readonly rows: number
  readonly sum: string
}

/** Two sides have equal sums exactly if they have equal rows. */
export interface Side {
  /**
   * Sums of ranges of `digits` digits. `within` are shorter ranges to search; undefined means all.
   */
  ranges(digits: number, within: readonly string[] | undefined): Promise<Sum[]>
  keys(within: readonly string[]): Promise<Sum[]>
}

/** The side of a missing table. */
export const emptySide: Side = { ranges: async () => [], keys: async () => [] }

interface SumRow {
  readonly of: string
  readonly rows: string
  readonly sum: string
}

/** Names of a table's columns. */
export const namesOf = ({ columns }: Table) => columns.map(({ name }) => name)

const numbered = ({ of, rows, sum }: SumRow): Sum => ({ of, rows: Number(rows), sum })

/** Rows of a table in Postgres. */
export async function countRows(client: Client, table: Table): Promise<number> {
  const [row] = await query<{ rows: string }>(client, `SELECT count(*)::text AS rows FROM ${quoteTable(table)}`)
  return Number(row!.rows)
}

/**
 * The table in the transaction of the client. A table with hashed columns needs `setHashKey` first.
 */
export function postgresSide(client: Client, table: Table): Side {
  const row = postgresRow(table)
  const from = `FROM (SELECT ${row.key} AS k, ${row.digest} AS d FROM ${quoteTable(table)}) AS r`
  const select = async (of: string, within: readonly string[] | undefined) => {
    const filter = within === undefined ? '' : `WHERE ${keyRange.postgres('k', within[0]!.length)} = ANY($1)`
    const sql = `SELECT ${of} AS of, count(*)::text AS rows, sum(d)::text AS sum ${from} ${filter} GROUP BY 1`
    return (await query<SumRow>(client, sql, within === undefined ? undefined : [within])).map(numbered)
  }
  return {
    ranges: (digits, within) => select(keyRange.postgres('k', digits), within),
    keys: within => select('k', within),
  }
}

/** The table in ClickHouse as of the LSN. */
export function clickhouseSide(clickhouse: Clickhouse, table: Table, lsn: number): Side {
  const row = clickhouseRow(table)
  const [k, d] = ['k', 'd'].map(name => unusedName(namesOf(table), name)) as [string, string]
  const from = `FROM (SELECT ${row.key} AS ${k}, ${row.digest} AS ${d} FROM (${asOfSelect(table, lsn)}))`
  const select = async (of: string, within: readonly string[] | undefined) => {
    const filter =
      within === undefined
        ? ''
        : `WHERE ${keyRange.clickhouse(k, within[0]!.length)} IN (${within.map(quoteString).join(', ')})`
    const sql = `SELECT ${of} AS of, toString(count()) AS rows, toString(sum(toInt128(${d}))) AS sum ${from} ${filter} GROUP BY of`
    return (await readRows<SumRow>(clickhouse, sql)).map(numbered)
  }
  return {
    ranges: (digits, within) => select(keyRange.clickhouse(k, digits), within),
    keys: within => select(k, within),
  }
}

/**
 * A SELECT of all captured columns as of the LSN. For keys without a later change, it reads the
 * current state, because the comparison must check that table. For the other keys, it reads the
 * last image before the LSN in the changelog.
 */
function asOfSelect(table: Table, lsn: number): string {
  const own = table.columns.map(column => quoteName(column.name)).join(', ')
  const key = table.key.map(quoteName).join(', ')
  const log = quoteName(changelogName(table))
  return `SELECT ${own} FROM ${quoteName(currentName(table))} FINAL
WHERE _version < bitShiftLeft(toUInt128(${lsn}), 64)
UNION ALL
SELECT ${own} FROM (
  SELECT ${own}, _sign FROM ${log}
  WHERE _lsn < ${lsn} AND (${key}) IN (SELECT ${key} FROM ${log} WHERE _lsn >= ${lsn})
  ORDER BY _version DESC, _sign DESC LIMIT 1 BY ${key}
) WHERE _sign = 1`
}
