// verify/checks: the model's own SQL that computes each report in Postgres.
// May know: clickhouse/model, runtime/errors. A check shares nothing with the materialized views.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Model } from '../clickhouse/model.ts'
import { MillraceError } from '../runtime/errors.ts'

export interface ReportCheck {
  /** Of the published view and of the file. */
  readonly name: string
  /** Name of what the view shows, in the database of a generation. */
  readonly source: string
  /** Columns that identify a row of the report. */
  readonly key: readonly string[]
  /** A SELECT for Postgres of the view's columns; `{as_of}` stands for the moment that the view looked at the clock. */
  readonly sql: string
}

/**
 * Reads `checks/<view>.sql` of the published views that have one, in order of name; the first line names the key columns: `-- key: date`.
 * @throws {MillraceError} CONFIG_INVALID for a check without key columns
 */
export function loadChecks(
  { directory, publish }: Pick<Model, 'directory' | 'publish'>,
  timeZone: string,
): ReportCheck[] {
  const folder = join(directory, 'checks')
  if (!existsSync(folder)) return []
  const sources = new Map(publish.map(({ name, source }) => [name, source]))
  return readdirSync(folder)
    .filter(file => file.endsWith('.sql'))
    .sort()
    .flatMap(file => {
      const name = file.slice(0, -'.sql'.length)
      const source = sources.get(name)
      return source === undefined ? [] : [{ name, source, ...readCheck(join(folder, file), timeZone) }]
    })
}

/** Views without a check in the databases where others have one: those are of reports, and nothing says that these are right. */
export function uncheckedViews({ publish }: Pick<Model, 'publish'>, checks: readonly ReportCheck[]): string[] {
  const checked = new Set(checks.map(({ name }) => name))
  const databases = new Set(publish.filter(({ name }) => checked.has(name)).map(({ database }) => database))
  return publish.filter(({ database, name }) => databases.has(database) && !checked.has(name)).map(({ name }) => name)
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
