// verify/checks: reads the model's checks: SQL that computes each report in Postgres.
// A check shares no code with the materialized views.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Table, tableName } from '../contract/table.ts'
import type { Model } from '../modeling/model.ts'
import { MillraceError } from '../runtime/errors.ts'
import { applyPolicy } from './policies.ts'

export interface ReportCheck {
  /** Name of the published view and of the file. */
  readonly name: string
  /** Database of the published view. */
  readonly database: string
  /** Columns that identify a row of the report. */
  readonly key: readonly string[]
  /**
   * A SELECT of the view's columns, for Postgres. `{as_of}` is replaced by the time that the view
   * read from the clock, and `{schema.table.column}` by the column of `table` after its column
   * policy.
   */
  readonly sql: string
}

/**
 * Reads all files `checks/<view>.sql`, in order of name. The first line names the key columns: `--
 * key: date`.
 * @throws {MillraceError} CONFIG_INVALID for a check without key columns, or for a view that is not
 *   published exactly once
 */
export function loadChecks(
  { directory, publish }: Pick<Model, 'directory' | 'publish'>,
  timeZone: string,
): ReportCheck[] {
  const folder = join(directory, 'checks')
  if (!existsSync(folder)) return []
  const files = readdirSync(folder).filter(file => file.endsWith('.sql'))
  return files.sort().map(file => {
    const where = join(folder, file)
    const name = file.slice(0, -'.sql'.length)
    const [view, other] = publish.filter(each => each.name === name)
    if (view === undefined || other !== undefined) {
      const fault = view === undefined ? 'does not publish' : 'publishes in more than one database'
      throw new MillraceError('CONFIG_INVALID', {
        what: `the check is of a view that the model ${fault}: ${name}`,
        where,
        next: 'list the view once under `publish` in model.yaml, or delete the check',
      })
    }
    return { name, database: view.database, ...readCheck(where, timeZone) }
  })
}

/**
 * The checks with every `{schema.table.column}` replaced: masked, hashed, or NULL for a dropped
 * column.
 */
export function withPolicies(checks: readonly ReportCheck[], tables: readonly Table[]): ReportCheck[] {
  const captured = new Map(tables.map(table => [tableName(table), table]))
  const fill = (_: string, schema: string, table: string, name: string): string => {
    const columns = captured.get(`${schema}.${table}`)?.columns
    if (columns === undefined) return `${table}.${name}`
    const column = columns.find(each => each.name === name)
    return column === undefined ? 'NULL' : applyPolicy(`${table}.${name}`, column)
  }
  return checks.map(check => ({ ...check, sql: check.sql.replace(/\{(\w+)\.(\w+)\.(\w+)\}/g, fill) }))
}

/**
 * Published views without a check, in databases in which other views have one. These databases
 * contain reports, and nothing verifies such a view. If no view has a check, all published views.
 */
export function uncheckedViews({ publish }: Pick<Model, 'publish'>, checks: readonly ReportCheck[]): string[] {
  const checked = new Set(checks.map(({ name }) => name))
  const databases = new Set(publish.filter(({ name }) => checked.has(name)).map(({ database }) => database))
  const concerned = publish.filter(({ database }) => checks.length === 0 || databases.has(database))
  return concerned.filter(({ name }) => !checked.has(name)).map(({ name }) => name)
}

function readCheck(file: string, timeZone: string): Pick<ReportCheck, 'key' | 'sql'> {
  const sql = readFileSync(file, 'utf8').replaceAll('{time_zone}', timeZone)
  const key = /^-- key: (.+)$/m.exec(sql)?.[1]
  if (key === undefined) {
    throw new MillraceError('CONFIG_INVALID', {
      what: 'the check does not name its key columns',
      where: file,
      next: 'begin the file with a line such as "-- key: date"',
    })
  }
  return { key: key.split(',').map(column => column.trim()), sql }
}
