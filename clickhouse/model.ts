// clickhouse/model: a directory of SQL files that turns changelogs into reports.
// May know: runtime, clickhouse/{client,quote}. The engine knows nothing of what the files say.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { MillraceError } from '../runtime/errors.ts'
import type { Clickhouse } from './client.ts'
import { quoteName } from './quote.ts'

const manifestSchema = z.strictObject({
  /** Captured tables (`schema.table`) that the SQL refers to. */
  requires: z.array(z.string()),
  /** Views to show under a stable name: database → views. */
  publish: z.record(z.string(), z.array(z.string())),
  /** Aggregate tables that can be recomputed, upstream ones first: a correction runs through the views behind them too. */
  reconcile: z.array(z.string()).default([]),
})

export interface Model {
  readonly directory: string
  readonly requires: readonly string[]
  readonly publish: Readonly<Record<string, readonly string[]>>
  readonly statements: readonly string[]
  /** Aggregate tables that can be recomputed, upstream ones first: table name → SELECT of keys and sums. */
  readonly recompute: ReadonlyMap<string, string>
}

/**
 * Reads `model.yaml`, `clickhouse/*.sql` in order of name (statements end with `;` at a line's end) and `reconcile/<table>.sql`.
 * `{time_zone}` stands for the reporting time zone.
 * @throws {MillraceError} CONFIG_INVALID when a file is missing or the manifest is not as described
 */
export function loadModel(directory: string, timeZone: string): Model {
  const fill = (sql: string) => sql.replaceAll('{time_zone}', timeZone)
  try {
    const manifest = manifestSchema.parse(parse(readFileSync(join(directory, 'model.yaml'), 'utf8')))
    const files = readdirSync(join(directory, 'clickhouse')).filter(file => file.endsWith('.sql'))
    const read = (...path: string[]) => fill(readFileSync(join(directory, ...path), 'utf8'))
    return {
      directory,
      requires: manifest.requires,
      publish: manifest.publish,
      statements: files.sort().flatMap(file => splitStatements(read('clickhouse', file)).map(repeatable)),
      recompute: new Map(manifest.reconcile.map(table => [table, read('reconcile', `${table}.sql`)])),
    }
  } catch (error) {
    throw new MillraceError('CONFIG_INVALID', {
      what: `the model cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      where: directory,
      next: 'a model directory holds model.yaml, clickhouse/*.sql and reconcile/*.sql; see model/sales for one that works',
      cause: error,
    })
  }
}

export async function applyModel(clickhouse: Clickhouse, model: Model): Promise<void> {
  for (const statement of model.statements) await clickhouse.command(statement)
}

/** Adds to every aggregate the difference between a recomputation and what it holds; returns how many rows differed, by table. */
export async function reconcile(clickhouse: Clickhouse, model: Model): Promise<Map<string, number>> {
  const corrected = new Map<string, number>()
  for (const [table, recompute] of model.recompute) {
    const difference = differenceSelect(recompute, table, await columnsOf(clickhouse, table))
    const [row] = await clickhouse.rows<{ n: string }>(`SELECT count() AS n FROM (${difference})`)
    const count = Number(row?.n ?? 0)
    if (count === 0) continue
    await clickhouse.command(`INSERT INTO ${quoteName(table)} ${difference}`, {
      async_insert: 0,
      insert_deduplicate: 0,
    })
    corrected.set(table, count)
  }
  return corrected
}

interface AggregateColumn {
  readonly name: string
  readonly type: string
  readonly key: boolean
}

async function columnsOf(clickhouse: Clickhouse, table: string): Promise<AggregateColumn[]> {
  const rows = await clickhouse.rows<{ name: string; type: string; is_in_sorting_key: number }>(
    'SELECT name, type, is_in_sorting_key FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position',
    { table },
  )
  return rows.map(({ name, type, is_in_sorting_key }) => ({ name, type, key: is_in_sorting_key === 1 }))
}

function differenceSelect(recompute: string, table: string, columns: readonly AggregateColumn[]): string {
  const names = columns.map(({ name }) => quoteName(name)).join(', ')
  const negated = columns.map(({ name, key }) => (key ? quoteName(name) : `-${quoteName(name)} AS ${quoteName(name)}`))
  const summed = columns.map(({ name, type, key }) =>
    key ? quoteName(name) : `CAST(sum(${quoteName(name)}), '${type.replaceAll("'", "\\'")}') AS ${quoteName(name)}`,
  )
  const sums = columns.filter(({ key }) => !key).map(({ name }) => `${quoteName(name)} != 0`)
  const keys = columns.filter(({ key }) => key).map(({ name }) => quoteName(name))
  return `SELECT * FROM (
  SELECT ${summed.join(', ')} FROM (
    SELECT ${names} FROM (${recompute.trim().replace(/;$/, '')})
    UNION ALL SELECT ${negated.join(', ')} FROM ${quoteName(table)}
  ) GROUP BY ${keys.join(', ')}
) WHERE ${sums.join(' OR ')}`
}

/** A consumer that was killed while it applied the model applies it again. */
function repeatable(statement: string): string {
  return statement.replace(/^CREATE (TABLE|MATERIALIZED VIEW|VIEW) (?!IF NOT EXISTS)/m, 'CREATE $1 IF NOT EXISTS ')
}

function splitStatements(sql: string): string[] {
  return sql
    .split(/;[ \t]*(?:\r?\n|$)/)
    .map(statement => statement.trim())
    .filter(statement => statement.replace(/^\s*--.*$/gm, '').trim() !== '')
}
