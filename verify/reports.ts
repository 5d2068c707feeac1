// verify/reports: compares a report in ClickHouse once with an independent computation in Postgres.

import type { CustomTypesConfig, FieldDef } from 'pg'
import type { Clickhouse } from '../clickhouse/client.ts'
import { quotePath } from '../clickhouse/quote.ts'
import type { Client } from '../postgres/client/client.ts'
import { postgresError } from '../postgres/client/errors.ts'
import { quoteString } from '../postgres/client/quote.ts'
import type { ReportCheck } from './checks.ts'
import { kindOf, normalize, type ValueKind } from './normalize-value.ts'
import { readRows } from './reading.ts'

export interface DifferingRow {
  /** Values of the key columns as literals: `'country', 'DE', NULL, 2025-01-01`. */
  readonly key: string
  readonly state: 'missing' | 'unexpected' | 'different' | 'repeated'
  /** If both sides have the row, the columns that differ, with the value of either side. */
  readonly columns?: Readonly<Record<string, readonly [postgres: string, clickhouse: string]>>
}

export interface ReportReading {
  /** Rows that Postgres computes. */
  readonly rows: number
  /** Differing rows, by the text of the key. */
  readonly differing: ReadonlyMap<string, DifferingRow>
}

type Row = Readonly<Record<string, unknown>>

interface Side {
  readonly rows: readonly Row[]
  readonly columns: readonly string[]
}

/** Times are printed as ISO in UTC, whatever the column's time zone, and NaN as `nan`. */
const clickhouseSettings = { date_time_output_format: 'iso', output_format_json_quote_denormals: 1 } as const
const textOnly = { getTypeParser: () => (text: string) => text } as CustomTypesConfig

/**
 * Reads the view first, by its stable name. Postgres then computes the report in the snapshot of
 * `postgres`.
 * @throws {MillraceError} CLICKHOUSE_* or POSTGRES_* when a statement fails
 */
export async function compareReport(parts: {
  postgres: Client
  clickhouse: Clickhouse
  check: ReportCheck
}): Promise<ReportReading> {
  const { postgres, clickhouse, check } = parts
  const shown = await readRows<Row>(
    clickhouse,
    `SELECT * FROM ${quotePath(check.database, check.name)}`,
    {},
    clickhouseSettings,
  )
  const sql = check.sql.replaceAll('{as_of}', `timestamptz ${quoteString(await asOf(clickhouse, shown))}`)
  const computed = await selectText(postgres, sql, check.name)
  const kinds = new Map(computed.fields.map(({ name, dataTypeID }) => [name, kindOf(dataTypeID)]))
  const expected = { rows: computed.rows, columns: computed.fields.map(({ name }) => name) }
  const actual = { rows: shown, columns: Object.keys(shown[0] ?? {}) }
  return { rows: expected.rows.length, differing: differingRows(expected, actual, { key: check.key, kinds }) }
}

/** The time in the view's column `as_of`; without rows, the current time. */
async function asOf(clickhouse: Clickhouse, shown: readonly Row[]): Promise<string> {
  if (shown[0]?.as_of !== undefined) return String(shown[0].as_of)
  const [now] = await readRows<{ as_of: string }>(clickhouse, 'SELECT now() AS as_of', {}, clickhouseSettings)
  return now!.as_of
}

async function selectText(postgres: Client, text: string, view: string): Promise<{ rows: Row[]; fields: FieldDef[] }> {
  try {
    return await postgres.query<Record<string, unknown>>({ text, types: textOnly })
  } catch (error) {
    throw postgresError(error, `the check of ${view}`)
  }
}

interface RowFormat {
  readonly key: readonly string[]
  readonly kinds: ReadonlyMap<string, ValueKind>
}

function differingRows(expected: Side, actual: Side, format: RowFormat): Map<string, DifferingRow> {
  const columns = [...new Set([...expected.columns, ...actual.columns])]
  const [left, right] = [expected, actual].map(({ rows }) => byKey(rows, columns, format)) as [ByKey, ByKey]
  const differing = new Map<string, DifferingRow>()
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    const state = stateOf(left.get(key) ?? [], right.get(key) ?? [])
    if (state === undefined) continue
    const shown = { columns: differingColumns(left.get(key)?.[0] ?? [], right.get(key)?.[0] ?? [], columns) }
    differing.set(key, { key, state, ...(state === 'different' ? shown : {}) })
  }
  return differing
}

/** The values of a row, column by column. */
type NormalizedRow = readonly string[]
type ByKey = ReadonlyMap<string, readonly NormalizedRow[]>

function byKey(rows: readonly Row[], columns: readonly string[], { key, kinds }: RowFormat): ByKey {
  const rowsByKey = new Map<string, NormalizedRow[]>()
  const normalized = (row: Row, name: string) => normalize(kinds.get(name) ?? 'text', row[name])
  for (const row of rows) {
    const own = key.map(name => normalized(row, name)).join(', ')
    const values = columns.map(name => (name in row ? normalized(row, name) : 'no such column'))
    rowsByKey.set(own, [...(rowsByKey.get(own) ?? []), values])
  }
  return rowsByKey
}

/** Compares the rows of one key. A report must have at most one. */
function stateOf(left: readonly NormalizedRow[], right: readonly NormalizedRow[]): DifferingRow['state'] | undefined {
  if (left.length > 1 || right.length > 1) return 'repeated'
  const [ours, theirs] = [left[0], right[0]]
  if (theirs === undefined) return 'missing'
  if (ours === undefined) return 'unexpected'
  return ours.every((value, index) => value === theirs[index]) ? undefined : 'different'
}

function differingColumns(
  left: NormalizedRow,
  right: NormalizedRow,
  columns: readonly string[],
): Record<string, [string, string]> {
  const pairs = columns.map((name, index) => [name, [left[index]!, right[index]!]] as [string, [string, string]])
  return Object.fromEntries(pairs.filter(([, [postgres, clickhouse]]) => postgres !== clickhouse))
}
