// verify/tables: one table in Postgres against the same in ClickHouse, by checksums that narrow down to rows.
// May know: contract, clickhouse, verify/{asof,canonical}.

import type { Client } from 'pg'
import type { Clickhouse } from '../clickhouse/client.ts'
import type { Table } from '../contract/table.ts'
import { asOfSelect } from './asof.ts'
import { clickhouseRow, postgresName, postgresRow } from './canonical.ts'

export interface TableComparison {
  /** Rows on either side. */
  readonly postgres: number
  readonly clickhouse: number
  readonly differing: number
  /** Keys of up to `shownKeys` differing rows, and how they differ. */
  readonly keys: readonly { key: string; state: 'missing' | 'unexpected' | 'different' }[]
}

/** A key range is all keys whose MD5 starts with the same digits: even, and free of any collation. */
interface RangeSum {
  readonly range: string
  readonly rows: string
  readonly sum: string
}

const shownKeys = 20
/** Hex digits of the key's digest per level: 256 ranges, then 65,536, then rows. */
const levels = [2, 4] as const

/**
 * Compares all rows as of `lsn`. `postgres` must be in a transaction whose snapshot is exactly the commits before it, in a session
 * that can compute the table's hashes (giveKey).
 */
export async function compareTable(parts: {
  postgres: Client
  clickhouse: Clickhouse
  table: Table
  lsn: number
}): Promise<TableComparison> {
  const sides = [
    postgresSide(parts.postgres, parts.table),
    clickhouseSide(parts.clickhouse, parts.table, parts.lsn),
  ] as const
  let suspects: string[] | undefined
  let counts: [number, number] = [0, 0]
  for (const digits of levels) {
    const [left, right] = await Promise.all(sides.map(side => side.sums(digits, suspects)))
    if (suspects === undefined) counts = [total(left!), total(right!)]
    suspects = differingRanges(left!, right!)
    if (suspects.length === 0) return { postgres: counts[0], clickhouse: counts[1], differing: 0, keys: [] }
  }
  const [left, right] = await Promise.all(sides.map(side => side.rows(suspects!)))
  const keys = differingKeys(left!, right!)
  return { postgres: counts[0], clickhouse: counts[1], differing: keys.length, keys: keys.slice(0, shownKeys) }
}

interface Side {
  sums(digits: number, within: readonly string[] | undefined): Promise<RangeSum[]>
  /** Key text → row digest. */
  rows(within: readonly string[]): Promise<Map<string, string>>
}

function postgresSide(client: Client, table: Table): Side {
  const row = postgresRow(table)
  const from = `FROM (SELECT ${row.key} AS k, ${row.digest} AS d FROM ${postgresName(table.schema)}.${postgresName(table.name)}) AS r`
  const filter = (within: readonly string[] | undefined) =>
    within === undefined ? '' : `WHERE left(md5(k), ${within[0]!.length}) = ANY($1)`
  return {
    sums: async (digits, within) => {
      const sql = `SELECT left(md5(k), ${digits}) AS range, count(*)::text AS rows, sum(('x' || left(d, 16))::bit(64)::bigint)::text AS sum ${from} ${filter(within)} GROUP BY 1`
      return (await client.query<RangeSum>(sql, within === undefined ? [] : [within])).rows
    },
    rows: async within => {
      const { rows } = await client.query<{ k: string; d: string }>(`SELECT k, d ${from} ${filter(within)}`, [within])
      return new Map(rows.map(({ k, d }) => [k, d]))
    },
  }
}

function clickhouseSide(clickhouse: Clickhouse, table: Table, lsn: number): Side {
  const row = clickhouseRow(table)
  const [k, d] = ['k', 'd'].map(name => freeName(table, name))
  const from = `FROM (SELECT ${row.key} AS ${k}, ${row.digest} AS ${d} FROM (${asOfSelect(table, lsn)}))`
  const hash = `lower(hex(MD5(${k})))`
  const filter = (within: readonly string[] | undefined) =>
    within === undefined ? '' : `WHERE has({within:Array(String)}, substring(${hash}, 1, ${within[0]!.length}))`
  return {
    sums: (digits, within) =>
      clickhouse.rows<RangeSum>(
        `SELECT substring(${hash}, 1, ${digits}) AS range, toString(count()) AS rows, toString(sum(toInt128(reinterpretAsInt64(reverse(unhex(substring(${d}, 1, 16))))))) AS sum ${from} ${filter(within)} GROUP BY range`,
        within === undefined ? {} : { within },
      ),
    rows: async within => {
      const rows = await clickhouse.rows<{ k: string; d: string }>(
        `SELECT ${k} AS k, ${d} AS d ${from} ${filter(within)}`,
        { within },
      )
      return new Map(rows.map(({ k, d }) => [k, d]))
    },
  }
}

/** ClickHouse takes an alias for the column of the same name, also inside the expression that the alias stands for. */
function freeName(table: Table, name: string): string {
  return table.columns.some(column => column.name === name) ? freeName(table, `${name}_`) : name
}

function total(ranges: readonly RangeSum[]): number {
  return ranges.reduce((sum, { rows }) => sum + Number(rows), 0)
}

function differingRanges(left: readonly RangeSum[], right: readonly RangeSum[]): string[] {
  const spelled = (ranges: readonly RangeSum[]) =>
    new Map(ranges.map(({ range, rows, sum }) => [range, `${rows} ${sum}`]))
  const [a, b] = [spelled(left), spelled(right)]
  return [...new Set([...a.keys(), ...b.keys()])].filter(range => a.get(range) !== b.get(range))
}

function differingKeys(
  left: ReadonlyMap<string, string>,
  right: ReadonlyMap<string, string>,
): { key: string; state: 'missing' | 'unexpected' | 'different' }[] {
  const keys: { key: string; state: 'missing' | 'unexpected' | 'different' }[] = []
  for (const [key, digest] of left) {
    const other = right.get(key)
    if (other !== digest) keys.push({ key, state: other === undefined ? 'missing' : 'different' })
  }
  for (const key of right.keys()) if (!left.has(key)) keys.push({ key, state: 'unexpected' })
  return keys
}
