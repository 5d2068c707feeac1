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

/** Settings of a session that would change what a view means; tools do set the first one. Each has ClickHouse's default here. */
const meaning = {
  join_use_nulls: 0,
  transform_null_in: 0,
  group_by_use_nulls: 0,
  cast_keep_nullable: 0,
  aggregate_functions_null_for_empty: 0,
  prefer_column_name_to_alias: 0,
}
/** Threads share what is read in pieces of at least so much. By default a report's few megabytes are a piece or two, and threads go without. */
const pieces = { merge_tree_min_rows_for_concurrent_read: 32_768, merge_tree_min_bytes_for_concurrent_read: 1_048_576 }
const pinned = Object.entries({ ...meaning, ...pieces })
  .map(([name, value]) => `${name} = ${value}`)
  .join(', ')

/**
 * Points every stable view at `generation`; each switch is atomic, and a reader sees the old or the new, never neither. A view reads with
 * the rights of whoever publishes it, so that a reader needs none on the generation's database, whose name changes.
 */
export async function publish(
  clickhouse: Clickhouse,
  generation: string,
  views: readonly PublishedView[],
): Promise<void> {
  for (const database of new Set(views.map(view => view.database))) {
    await clickhouse.command(`CREATE DATABASE IF NOT EXISTS ${quoteName(database)}`)
  }
  for (const { database, name, source } of views) {
    const { columns, comment } = await describe(clickhouse, generation, source)
    await clickhouse.command(
      `CREATE OR REPLACE VIEW ${quotePath(database, name)} (${columns}) DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT * FROM ${quotePath(generation, source)} SETTINGS ${pinned} COMMENT ${comment}`,
    )
  }
}

/** The source's columns with their types and comments, and its own comment, as SQL: analysts' tools show both. */
async function describe(
  clickhouse: Clickhouse,
  database: string,
  table: string,
): Promise<{ columns: string; comment: string }> {
  const columns = await clickhouse.rows<{ name: string; type: string; comment: string }>(
    'SELECT name, type, comment FROM system.columns WHERE database = {database:String} AND table = {table:String} ORDER BY position',
    { database, table },
  )
  const [about] = await clickhouse.rows<{ comment: string }>(
    'SELECT comment FROM system.tables WHERE database = {database:String} AND name = {table:String}',
    { database, table },
  )
  return {
    columns: columns
      .map(({ name, type, comment }) => `${quoteName(name)} ${type} COMMENT ${quoteString(comment)}`)
      .join(', '),
    comment: quoteString(about?.comment ?? ''),
  }
}
