// verify/source: compares the captured tables with Postgres' catalog.
// Reads the catalog in the transaction that reads the rows.

import { type Table, tableName } from '../contract/table.ts'
import { type Named, readTables, type SourceTable } from '../postgres/catalog/catalog.ts'
import type { Client } from '../postgres/client/client.ts'
import { type Config, tableEntry, tableOptions } from '../runtime/config/config.ts'

export interface Source {
  /** By `schema.table`: the captured tables, and the tables that the configuration names. */
  readonly tables: ReadonlyMap<string, SourceTable>
  /** Tables that the configuration names, and that are not captured. */
  readonly uncaptured: readonly string[]
}

function isLeftOut(config: Config, { schema, name }: Named): boolean {
  return tableEntry(config, schema, name)?.capture === false
}

/** Kinds of the catalog: ordinary and partitioned tables. A pattern does not match views. */
const readableKinds = ['r', 'p']

/** @throws {MillraceError} POSTGRES_* */
export async function readSource(client: Client, config: Config, captured: readonly Table[]): Promise<Source> {
  const names = new Set(captured.map(tableName))
  const found = await readTables(
    client,
    (table, ancestors) =>
      names.has(tableName(table)) ||
      (tableOptions(config, table.schema, table.name) !== undefined &&
        !ancestors.some(root => isLeftOut(config, root))),
  )
  const uncaptured = found.filter(
    table => !names.has(tableName(table)) && readableKinds.includes(table.kind) && !table.schema.startsWith('pg_temp_'),
  )
  return { tables: new Map(found.map(table => [tableName(table), table])), uncaptured: uncaptured.map(tableName) }
}

export interface Comparable {
  /**
   * `byKey`: compare rows with the columns of `table`. `none`: Postgres has no rows. `count`:
   * compare numbers only, because key columns are gone.
   */
  readonly rows: 'byKey' | 'none' | 'count'
  /** The captured table with the columns that Postgres still has. */
  readonly table: Table
  /** A sentence for each change since the table was captured. */
  readonly problems: readonly string[]
}

export function comparable(captured: Table, found: SourceTable | undefined): Comparable {
  if (found === undefined || !readableKinds.includes(found.kind)) {
    const why = found === undefined ? 'there is no such table in Postgres' : `in Postgres ${found.unsupported}`
    return { rows: 'none', table: captured, problems: [why] }
  }
  const problems: string[] = []
  const list = (names: readonly string[]) => `(${names.join(', ')})`
  if (list(captured.key) !== list(found.key)) {
    const now = found.key.length === 0 ? 'there is none' : `it is ${list(found.key)}`
    problems.push(`the primary key was ${list(captured.key)} when the table was captured, and now ${now}`)
  }
  const there = new Set(found.columns.map(({ name }) => name))
  const columns = captured.columns.filter(({ name }) => there.has(name))
  for (const { name } of captured.columns)
    if (!there.has(name)) problems.push(`column ${name} is no longer in Postgres`)
  const hasKey = captured.key.every(name => there.has(name))
  return hasKey
    ? { rows: 'byKey', table: { ...captured, columns }, problems }
    : { rows: 'count', table: captured, problems }
}

/**
 * Columns that are only in Postgres without a `drop` policy: added later, or withheld in a personal
 * table.
 */
export function columnsLeftBehind(config: Config, captured: Table, found: SourceTable): string[] {
  const policies = tableOptions(config, captured.schema, captured.name)?.columns ?? {}
  const known = new Set(captured.columns.map(({ name }) => name))
  return found.columns
    .filter(({ name, generated }) => !known.has(name) && generated === undefined && policies[name] !== 'drop')
    .map(({ name }) => name)
}
