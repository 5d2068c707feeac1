// verify/reports: one look at a report in ClickHouse, beside an independent computation in Postgres.
// May know: postgres, clickhouse, verify/{checks,spelling}.

import { type CustomTypesConfig, escapeLiteral, type FieldDef } from 'pg'
import type { Clickhouse } from '../clickhouse/client.ts'
import { quoteName } from '../clickhouse/quote.ts'
import type { Client } from '../postgres/connect.ts'
import { postgresFailure } from '../postgres/failure.ts'
import type { ReportCheck } from './checks.ts'
import { type Kind, kindOf, spell } from './spelling.ts'

export interface DifferingRow {
  /** Values of the key columns as literals: `'country', 'DE', NULL, 2025-01-01`. */
  readonly key: string
  readonly state: 'missing' | 'unexpected' | 'different'
  /** Columns that differ, where both sides have the row: what Postgres computes, and what ClickHouse shows. */
  readonly columns?: Readonly<Record<string, readonly [postgres: string, clickhouse: string]>>
}

export interface Look {
  /** Rows that Postgres computes. */
  readonly rows: number
  /** By the text of the key. */
  readonly differing: ReadonlyMap<string, DifferingRow>
}

type Row = Readonly<Record<string, unknown>>

interface Side {
  readonly rows: readonly Row[]
  readonly columns: readonly string[]
}

/** Times as ISO in UTC whatever the column's time zone, and NaN as such. */
const clickhouseSettings = { date_time_output_format: 'iso', output_format_json_quote_denormals: 1 } as const
const textOnly = { getTypeParser: () => (text: string) => text } as CustomTypesConfig

/**
 * Reads the view first, and lets Postgres compute it as of the snapshot that its client is in.
 * @throws {MillraceError} CLICKHOUSE_* or POSTGRES_* when one of the two refuses
 */
export async function compareReport(parts: {
  postgres: Client
  clickhouse: Clickhouse
  check: ReportCheck
}): Promise<Look> {
  const { postgres, clickhouse, check } = parts
  const shown = await clickhouse.rows<Row>(`SELECT * FROM ${quoteName(check.source)}`, {}, clickhouseSettings)
  const sql = check.sql.replaceAll('{as_of}', `timestamptz ${escapeLiteral(await asOf(clickhouse, shown))}`)
  const computed = await selectText(postgres, sql, check.name)
  const kinds = new Map(computed.fields.map(({ name, dataTypeID }) => [name, kindOf(dataTypeID)]))
  const expected = { rows: computed.rows, columns: computed.fields.map(({ name }) => name) }
  const actual = { rows: shown, columns: Object.keys(shown[0] ?? {}) }
  return { rows: expected.rows.length, differing: differingRows(expected, actual, { key: check.key, kinds }) }
}

/** The moment that the view's own rows are of; without rows, now. */
async function asOf(clickhouse: Clickhouse, shown: readonly Row[]): Promise<string> {
  if (shown[0]?.as_of !== undefined) return String(shown[0].as_of)
  const [now] = await clickhouse.rows<{ as_of: string }>('SELECT now() AS as_of', {}, clickhouseSettings)
  return now!.as_of
}

async function selectText(postgres: Client, text: string, view: string): Promise<{ rows: Row[]; fields: FieldDef[] }> {
  try {
    return await postgres.query<Record<string, unknown>>({ text, types: textOnly })
  } catch (error) {
    throw postgresFailure(error, `the check of ${view}`)
  }
}

interface Spelling {
  readonly key: readonly string[]
  readonly kinds: ReadonlyMap<string, Kind>
}

function differingRows(expected: Side, actual: Side, spelling: Spelling): Map<string, DifferingRow> {
  const columns = [...new Set([...expected.columns, ...actual.columns])]
  const [left, right] = [expected, actual].map(({ rows }) => byKey(rows, columns, spelling))
  const differing = new Map<string, DifferingRow>()
  for (const [key, row] of left!) {
    const other = right!.get(key)
    if (other === undefined) differing.set(key, { key, state: 'missing' })
    else if (other.text !== row.text) {
      differing.set(key, { key, state: 'different', columns: differingColumns(row, other, columns) })
    }
  }
  for (const key of right!.keys()) if (!left!.has(key)) differing.set(key, { key, state: 'unexpected' })
  return differing
}

interface Spelled {
  readonly values: readonly string[]
  readonly text: string
}

/** Rows that share a key, which a report must not have, make one with the values of all of them. */
function byKey(rows: readonly Row[], columns: readonly string[], { key, kinds }: Spelling): Map<string, Spelled> {
  const spelled = new Map<string, Spelled>()
  const spellOf = (row: Row, name: string) => spell(kinds.get(name) ?? 'text', row[name])
  for (const row of rows) {
    const own = key.map(name => spellOf(row, name)).join(', ')
    const values = columns.map(name => (name in row ? spellOf(row, name) : 'no such column'))
    const before = spelled.get(own)
    const all = before === undefined ? values : values.map((value, index) => `${before.values[index]} and ${value}`)
    spelled.set(own, { values: all, text: all.join('\n') })
  }
  return spelled
}

function differingColumns(left: Spelled, right: Spelled, columns: readonly string[]): Record<string, [string, string]> {
  const pairs = columns.map(
    (name, index) => [name, [left.values[index]!, right.values[index]!]] as [string, [string, string]],
  )
  return Object.fromEntries(pairs.filter(([, [postgres, clickhouse]]) => postgres !== clickhouse))
}
