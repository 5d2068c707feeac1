// clickhouse/publish: stable names that point at one generation.
// May know: clickhouse/{client,quote}. Analysts read these; a rebuild switches them and nothing else.

import type { Clickhouse } from './client.ts'
import { quoteName, quotePath, quoteString } from './quote.ts'

export interface PublishedView {
  /** Database and name that people use, such as `shop`.`orders`. */
  readonly database: string
  readonly name: string
  /** Name inside the generation's database. */
  readonly source: string
}

/** Points every stable view at `generation`; each switch is atomic, and a reader sees the old or the new, never neither. */
export async function publish(
  clickhouse: Clickhouse,
  generation: string,
  views: readonly PublishedView[],
): Promise<void> {
  for (const database of new Set(views.map(view => view.database))) {
    await clickhouse.command(`CREATE DATABASE IF NOT EXISTS ${quoteName(database)}`)
  }
  for (const { database, name, source } of views) {
    const comment = await commentOf(clickhouse, generation, source)
    await clickhouse.command(
      `CREATE OR REPLACE VIEW ${quotePath(database, name)} AS SELECT * FROM ${quotePath(generation, source)}${comment}`,
    )
  }
}

async function commentOf(clickhouse: Clickhouse, database: string, table: string): Promise<string> {
  const [row] = await clickhouse.rows<{ comment: string }>(
    'SELECT comment FROM system.tables WHERE database = {database:String} AND name = {table:String}',
    { database, table },
  )
  return row?.comment ? ` COMMENT ${quoteString(row.comment)}` : ''
}
