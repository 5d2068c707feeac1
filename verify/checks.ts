// verify/checks: the model's own SQL that computes each report in Postgres.
// A check shares nothing with the materialized views.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Table, tableName } from '../contract/table.ts'
import type { Model } from '../modeling/model.ts'
import { MillraceError } from '../runtime/errors.ts'
import { applyPolicy } from './policies.ts'

export interface ReportCheck {
  /** Of the published view and of the file. */
  readonly name: string
  /** That the view is published into. */
  readonly database: string
  /** Columns that identify a row of the report. */
  readonly key: readonly string[]
  /**
   * A SELECT for Postgres of the view's columns. `{as_of}` stands for the moment that the view looked at the clock, and
   * `{schema.table.column}` for the column of `table` as it left Postgres.
   */
  readonly sql: string
}

/**
 * Reads all of `checks/<view>.sql`, in order of name; the first line names the key columns: `-- key: date`.
 * @throws {MillraceError} CONFIG_INVALID for a check without key columns, or of a view that is not published once
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

/** The checks with every `{schema.table.column}` filled in: masked, hashed or NULL where the captured table says so. */
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
 * Views without a check in the databases where others have one: those are of reports, and nothing says that these are right. Where no view
 * has one, all of them.
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
