// modeling/model: reads a model: a directory of SQL files that makes reports from changelogs.
// This code knows no particular model.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import type { Clickhouse } from '../clickhouse/client.ts'
import { storageName } from '../clickhouse/ddl.ts'
import type { PublishedView } from '../clickhouse/publish.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { MillraceError } from '../runtime/errors.ts'
import { withEngineColumns } from './aggregate-table.ts'
import { closingParenthesis } from './sql-text.ts'

const manifestSchema = z.strictObject({
  /** Captured tables (`schema.table`) that the SQL refers to. */
  requires: z.array(z.string()),
  /** The required tables whose history the SQL refers to. */
  histories: z.array(z.string()).default([]),
  /** The purpose of each database that the model publishes into, in a sentence. */
  layers: z.record(z.string(), z.string()).default({}),
  /**
   * Views with a stable name: database → views, or database → name → object
   * (`shop.orders.changelog`).
   */
  publish: z.record(z.string(), z.union([z.array(z.string()), z.record(z.string(), z.string())])),
  /**
   * Aggregate table → the columns `by` which rows belong together, and the captured tables that it
   * is `of`. The view `{table}.contributions` says what the rows add to it. A `fresh` one is folded
   * more often.
   */
  aggregates: z
    .record(
      z.string(),
      z.strictObject({
        by: z.array(z.string()).min(1),
        of: z.array(z.string()).min(1),
        fresh: z.boolean().default(false),
      }),
    )
    .default({}),
})

/** What a model says of an aggregate, before anything is known of its tables. */
export interface AggregateSource {
  /** Columns that all tables of the aggregate have. Rows with the same values make one key. */
  readonly by: readonly string[]
  /** Captured tables, as in `requires`. */
  readonly of: readonly string[]
  readonly fresh: boolean
  /** SELECT of the view `{table}.contributions`. */
  readonly contributions: string
}

export interface Model {
  readonly directory: string
  readonly requires: readonly string[]
  readonly histories: readonly string[]
  readonly layers: Readonly<Record<string, string>>
  readonly publish: readonly PublishedView[]
  readonly statements: readonly string[]
  readonly aggregates: ReadonlyMap<string, AggregateSource>
}

/**
 * Reads `model.yaml` and `clickhouse/*.sql` in order of name. A statement ends with `;` at the end
 * of a line. `{time_zone}` is replaced by the reporting time zone.
 * @throws {MillraceError} CONFIG_INVALID for a missing file or an invalid manifest
 */
export function loadModel(directory: string, timeZone: string): Model {
  const fill = (sql: string) => sql.replaceAll('{time_zone}', timeZone)
  try {
    const manifest = manifestSchema.parse(withoutRecompute(parse(readFileSync(join(directory, 'model.yaml'), 'utf8'))))
    const files = readdirSync(join(directory, 'clickhouse')).filter(file => file.endsWith('.sql'))
    const read = (file: string) => fill(readFileSync(join(directory, 'clickhouse', file), 'utf8'))
    const written = files.sort().flatMap(file => splitStatements(read(file)).map(withIfNotExists))
    refuseMaterializedViews(written)
    const aggregates = Object.entries(manifest.aggregates).map(([table, { by, of, fresh }]) => {
      const foreign = of.filter(name => !manifest.requires.includes(name))
      if (foreign.length > 0)
        throw new Error(`the aggregate ${table} is of ${foreign.join(', ')}, which is not in requires`)
      return [table, { by, of, fresh, contributions: contributionsOf(table, written) }] as const
    })
    const isAggregate = (statement: string) => manifest.aggregates[createdTable(statement) ?? ''] !== undefined
    const statements = written.map(sql => (isAggregate(sql) ? withEngineColumns(sql) : sql))
    return {
      directory,
      requires: manifest.requires,
      histories: manifest.histories,
      layers: manifest.layers,
      publish: Object.entries(manifest.publish).flatMap(([database, views]) => publishedViews(database, views)),
      statements,
      aggregates: new Map(aggregates),
    }
  } catch (error) {
    throw new MillraceError('CONFIG_INVALID', {
      what: `the model cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      where: directory,
      next: 'a model directory contains model.yaml and clickhouse/*.sql; see model/sales for an example',
      cause: error,
    })
  }
}

/** Models of earlier versions named a materialized view for each aggregate. */
function withoutRecompute(manifest: unknown): unknown {
  if (manifest === null || typeof manifest !== 'object' || !('recompute' in manifest)) return manifest
  throw new Error('recompute is replaced by aggregates (docs/how-to/write-a-model.md)')
}

function publishedViews(
  database: string,
  views: readonly string[] | Readonly<Record<string, string>>,
): PublishedView[] {
  const pairs = Array.isArray(views) ? views.map(name => [name, name] as const) : Object.entries(views)
  return pairs.map(([name, source]) => ({ database, name, source }))
}

/** The statements that create the model's objects: views of rows, and the model's own. */
export function modelStatements({ statements, aggregates }: Model): string[] {
  const tables = new Set([...aggregates.values()].flatMap(({ of }) => of))
  return [...[...tables].map(rowsView), ...statements, ...[...aggregates.keys()].map(durable)]
}

/**
 * A fold after a power loss continues at the markers. They are sums of steps, so none of the parts
 * before the last one may be missing.
 */
function durable(aggregate: string): string {
  return `ALTER TABLE ${quoteName(aggregate)} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1`
}

export async function applyModel(clickhouse: Clickhouse, model: Model): Promise<void> {
  for (const statement of modelStatements(model)) await clickhouse.command(statement)
}

/** Tables that the model creates without an entry in `aggregates`. */
export function unrebuildable({ statements, aggregates }: Model): string[] {
  const tables = statements.flatMap(sql => createdTable(sql) ?? [])
  return tables.filter(table => !aggregates.has(table))
}

/** Suffix of the view of a table's live rows, which the SELECT of contributions reads. */
export const rowsSuffix = '.rows'

/** Suffix of the view that says what rows add to an aggregate. */
export const contributionsSuffix = '.contributions'

/**
 * With this view, the SELECT of an aggregate's contributions runs as it stands, and yields the
 * whole aggregate.
 */
function rowsView(table: string): string {
  const name = storageNameOf(table)
  return `CREATE VIEW IF NOT EXISTS ${quoteName(name + rowsSuffix)} AS
SELECT * EXCEPT (_partition, _version, _deleted), toInt8(1) AS _sign FROM ${quoteName(`${name}.current`)} FINAL`
}

/** `schema.table` as `tableName` of the contract writes it. */
function storageNameOf(table: string): string {
  const part = '("(?:[^"\\\\]|\\\\.)*"|[^."]+)'
  const [, ...parts] = new RegExp(`^${part}\\.${part}$`).exec(table) ?? []
  const [schema, name] = parts.map(text => (text.startsWith('"') ? (JSON.parse(text) as string) : text))
  if (schema === undefined || name === undefined) throw new Error(`${table} is not schema.table`)
  return storageName(schema, name)
}

function createdTable(statement: string): string | undefined {
  return /^CREATE TABLE IF NOT EXISTS `?([^\s`(]+)/m.exec(statement)?.[1]
}

/** The SELECT of the view `{table}.contributions`, without the comment on the view. */
function contributionsOf(table: string, statements: readonly string[]): string {
  if (!statements.some(sql => createdTable(sql) === table))
    throw new Error(`aggregates names the table ${table}, which no file creates`)
  const view = `${table}${contributionsSuffix}`
  for (const statement of statements) {
    const [created, name] = /^CREATE VIEW IF NOT EXISTS `([^`]+)`\s*/m.exec(statement) ?? []
    if (name !== view) continue
    const start = statement.indexOf(created!) + created!.length
    const body = statement[start] === '(' ? closingParenthesis(statement, start) + 1 : start
    const [, select] = /^\s*AS\s+(.*)$/s.exec(statement.slice(body)) ?? []
    if (select !== undefined) return select.replace(/\sCOMMENT\s+'(?:[^'\\]|\\.|'')*'\s*$/, '')
  }
  throw new Error(`no file has CREATE VIEW \`${view}\` AS SELECT …, which says what rows add to ${table}`)
}

const materializedView = /^CREATE MATERIALIZED VIEW (?:IF NOT EXISTS )?(\S+)/m

/** An interrupted insert leaves the target of a materialized view incomplete, without an error. */
function refuseMaterializedViews(statements: readonly string[]): void {
  const names = statements.flatMap(sql => materializedView.exec(sql)?.[1] ?? [])
  if (names.length === 0) return
  throw new Error(
    `${names.join(', ')}: a model cannot have materialized views; describe the table as an aggregate, and write its SELECT as the view \`TABLE.contributions\` (docs/how-to/write-a-model.md)`,
  )
}

/**
 * Adds IF NOT EXISTS, because a consumer that was killed while it applied the model applies it
 * again.
 */
function withIfNotExists(statement: string): string {
  return statement.replace(/^CREATE (TABLE|VIEW) (?!IF NOT EXISTS)/m, 'CREATE $1 IF NOT EXISTS ')
}

/** The statements of a file. A statement ends with `;` at the end of a line. */
export function splitStatements(sql: string): string[] {
  return sql
    .split(/;[ \t]*(?:\r?\n|$)/)
    .map(statement => statement.trim())
    .filter(statement => statement.replace(/^\s*--.*$/gm, '').trim() !== '')
}
