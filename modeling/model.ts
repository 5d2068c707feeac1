// modeling/model: reads a model: a directory of SQL files that makes reports from changelogs.
// This code knows no particular model.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import type { Clickhouse } from '../clickhouse/client.ts'
import { tokenSettings } from '../clickhouse/ddl.ts'
import type { PublishedView } from '../clickhouse/publish.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { MillraceError } from '../runtime/errors.ts'

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
   * Aggregate table → the materialized view that computes the whole table when every live row is
   * inserted.
   */
  recompute: z.record(z.string(), z.string()).default({}),
})

export interface Model {
  readonly directory: string
  readonly requires: readonly string[]
  readonly histories: readonly string[]
  readonly layers: Readonly<Record<string, string>>
  readonly publish: readonly PublishedView[]
  readonly statements: readonly string[]
  /** Aggregate table → SELECT that computes the whole table from the changelog's rows. */
  readonly recompute: ReadonlyMap<string, string>
}

/**
 * Reads `model.yaml` and `clickhouse/*.sql` in order of name. A statement ends with `;` at the end
 * of a line. `{time_zone}` is replaced by the reporting time zone.
 * @throws {MillraceError} CONFIG_INVALID for a missing file or an invalid manifest
 */
export function loadModel(directory: string, timeZone: string): Model {
  const fill = (sql: string) => sql.replaceAll('{time_zone}', timeZone)
  try {
    const manifest = manifestSchema.parse(parse(readFileSync(join(directory, 'model.yaml'), 'utf8')))
    const files = readdirSync(join(directory, 'clickhouse')).filter(file => file.endsWith('.sql'))
    const read = (file: string) => fill(readFileSync(join(directory, 'clickhouse', file), 'utf8'))
    const statements = files.sort().flatMap(file => splitStatements(read(file)).map(withIfNotExists))
    return {
      directory,
      requires: manifest.requires,
      histories: manifest.histories,
      layers: manifest.layers,
      publish: Object.entries(manifest.publish).flatMap(([database, views]) => publishedViews(database, views)),
      statements,
      recompute: new Map(
        Object.entries(manifest.recompute).map(([table, view]) => [table, selectOf(view, statements)]),
      ),
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

function publishedViews(
  database: string,
  views: readonly string[] | Readonly<Record<string, string>>,
): PublishedView[] {
  const pairs = Array.isArray(views) ? views.map(name => [name, name] as const) : Object.entries(views)
  return pairs.map(([name, source]) => ({ database, name, source }))
}

/**
 * The model's statements, and the statements that make its aggregates remember the tokens of
 * inserts.
 */
export function modelStatements({ statements, recompute }: Model): string[] {
  const remember = (table: string) => `ALTER TABLE ${quoteName(table)} MODIFY SETTING ${tokenSettings}`
  return [...statements, ...[...recompute.keys()].map(remember)]
}

export async function applyModel(clickhouse: Clickhouse, model: Model): Promise<void> {
  for (const statement of modelStatements(model)) await clickhouse.command(statement)
}

/** Tables that the model creates without an entry in `recompute`. */
export function unrebuildable({ statements, recompute }: Model): string[] {
  const tables = statements.flatMap(sql => /^CREATE TABLE IF NOT EXISTS (\S+)/m.exec(sql)?.[1] ?? [])
  return tables.filter(table => !recompute.has(table))
}

/** The SELECT of a materialized view. */
function selectOf(view: string, statements: readonly string[]): string {
  for (const statement of statements) {
    const [, name, select] = /^CREATE MATERIALIZED VIEW IF NOT EXISTS (\S+) TO \S+ AS\s(.*)$/ms.exec(statement) ?? []
    if (name === view && select !== undefined) return select
  }
  throw new Error(`recompute names the materialized view ${view}, which no file creates`)
}

/**
 * Adds IF NOT EXISTS, because a consumer that was killed while it applied the model applies it
 * again.
 */
function withIfNotExists(statement: string): string {
  return statement.replace(/^CREATE (TABLE|MATERIALIZED VIEW|VIEW) (?!IF NOT EXISTS)/m, 'CREATE $1 IF NOT EXISTS ')
}

/** The statements of a file. A statement ends with `;` at the end of a line. */
export function splitStatements(sql: string): string[] {
  return sql
    .split(/;[ \t]*(?:\r?\n|$)/)
    .map(statement => statement.trim())
    .filter(statement => statement.replace(/^\s*--.*$/gm, '').trim() !== '')
}
