// verify/reports: each report against an independent computation in Postgres.
// May know: clickhouse. The check's SQL comes with the model and shares nothing with its materialized views.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Client } from 'pg'
import type { Clickhouse } from '../clickhouse/client.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { MillraceError } from '../runtime/errors.ts'

export interface ReportCheck {
  readonly name: string
  /** Columns that identify a row of the report. */
  readonly key: readonly string[]
  readonly sql: string
}

export interface ReportComparison {
  /** Rows that Postgres computes. */
  readonly rows: number
  readonly differing: number
  readonly keys: readonly string[]
}

type Row = Readonly<Record<string, unknown>>

const shownKeys = 20

/** Reads `checks/<report>.sql`; the first line names the key columns: `-- key: date`. */
export function loadChecks(modelDirectory: string, timeZone: string): ReportCheck[] {
  const directory = join(modelDirectory, 'checks')
  return readdirSync(directory)
    .filter(file => file.endsWith('.sql'))
    .sort()
    .map(file => {
      const sql = readFileSync(join(directory, file), 'utf8').replaceAll('{time_zone}', timeZone)
      const key = /^-- key: (.+)$/m.exec(sql)?.[1]
      if (key === undefined) {
        throw new MillraceError('CONFIG_INVALID', {
          what: 'the check does not name its key columns',
          where: join(directory, file),
          next: 'begin the file with a line such as "-- key: date"',
        })
      }
      return { name: file.slice(0, -4), key: key.split(',').map(name => name.trim()), sql }
    })
}

export async function compareReport(parts: {
  postgres: Client
  clickhouse: Clickhouse
  check: ReportCheck
}): Promise<ReportComparison> {
  const { postgres, clickhouse, check } = parts
  const expected = byKey((await postgres.query<Row>(check.sql)).rows, check.key)
  const actual = byKey(await clickhouse.rows<Row>(`SELECT * FROM ${quoteName(check.name)}`), check.key)
  const differing = [...new Set([...expected.keys(), ...actual.keys()])].filter(
    key => expected.get(key) !== actual.get(key),
  )
  return { rows: expected.size, differing: differing.length, keys: differing.slice(0, shownKeys) }
}

/** Key text → text of the row's columns in order of name, so that both sides spell a row alike. */
function byKey(rows: readonly Row[], key: readonly string[]): Map<string, string> {
  const spelled = new Map<string, string>()
  for (const row of rows) {
    const own = key.map(name => spell(row[name])).join(', ')
    const columns = Object.keys(row).sort()
    const text = columns.map(name => `${name}=${spell(row[name])}`).join(' ')
    const before = spelled.get(own)
    spelled.set(own, before === undefined ? text : `${before} and again ${text}`)
  }
  return spelled
}

/** Numbers without trailing zeros after the point; everything else as it is. */
function spell(value: unknown): string {
  if (value === null || value === undefined) return '~'
  const text = value instanceof Date ? value.toISOString().slice(0, 10) : String(value)
  return /^-?\d+\.\d+$/.test(text) ? text.replace(/\.?0+$/, '') : text
}
