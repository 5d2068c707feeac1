// clickhouse/databases: the databases of a pipeline's generations, and the stable views that point at them.
// May know: contract/generation, clickhouse/{client,quote}.

import { generationDatabase } from '../contract/generation.ts'
import type { Clickhouse } from './client.ts'
import { quoteName, quotePath } from './quote.ts'

export interface GenerationDatabase {
  readonly number: number
  readonly name: string
  /** On disk, compressed. */
  readonly bytes: number
}

/** Those that are there, by number. */
export async function findDatabases(clickhouse: Clickhouse, pipeline: string): Promise<GenerationDatabase[]> {
  const rows = await clickhouse.rows<{ name: string; bytes: string }>(
    `SELECT d.name AS name, toString(sum(p.bytes_on_disk)) AS bytes FROM system.databases AS d
LEFT JOIN (SELECT database, bytes_on_disk FROM system.parts) AS p ON p.database = d.name
WHERE match(d.name, {pattern:String}) GROUP BY d.name`,
    { pattern: `^${generationDatabase(pipeline, 0).slice(0, -1)}[0-9]+$` },
  )
  return rows
    .map(({ name, bytes }) => ({ number: Number(/\d+$/.exec(name)![0]), name, bytes: Number(bytes) }))
    .sort((a, b) => a.number - b.number)
}

/** Removes the database and its files before it returns. */
export async function dropDatabase(clickhouse: Clickhouse, name: string): Promise<void> {
  await clickhouse.command(`DROP DATABASE IF EXISTS ${quoteName(name)} SYNC`)
}

interface StableView {
  readonly database: string
  readonly name: string
  /** Database of the generation that it shows. */
  readonly shows: string
}

/** The views that analysts read, wherever they are, with the generation that each shows. */
export async function findStableViews(clickhouse: Clickhouse, pipeline: string): Promise<StableView[]> {
  const databases = new Set((await findDatabases(clickhouse, pipeline)).map(({ name }) => name))
  const rows = await clickhouse.rows<{ database: string; name: string; as_select: string }>(
    `SELECT database, name, as_select FROM system.tables WHERE engine = 'View' AND as_select LIKE 'SELECT * FROM %'`,
  )
  return rows.flatMap(({ database, name, as_select }) => {
    const shows = /^SELECT \* FROM `?(\w+)`?\./.exec(as_select.replace(/\s+/g, ' '))?.[1]
    return shows !== undefined && databases.has(shows) && !databases.has(database) ? [{ database, name, shows }] : []
  })
}

/** Removes the views, and their databases where nothing else is left in them. */
export async function dropStableViews(clickhouse: Clickhouse, views: readonly StableView[]): Promise<void> {
  for (const { database, name } of views)
    await clickhouse.command(`DROP VIEW IF EXISTS ${quotePath(database, name)} SYNC`)
  for (const database of new Set(views.map(view => view.database))) {
    const [left] = await clickhouse.rows('SELECT 1 FROM system.tables WHERE database = {database:String} LIMIT 1', {
      database,
    })
    if (left === undefined) await dropDatabase(clickhouse, database)
  }
}
