// clickhouse/droppable: checks, before the first DROP, that databases, tables and views can be
// dropped.

import { text } from 'node:stream/consumers'
import type { Clickhouse } from './client.ts'
import { quoteName } from './quote.ts'

export interface ToDrop {
  /** Databases with everything in them. */
  readonly databases?: readonly string[]
  /** Tables of these databases, which are created again afterwards. */
  readonly tables?: readonly { readonly database: string; readonly name: string }[]
  readonly views?: readonly { readonly database: string }[]
}

/**
 * A sentence for each obstacle, with its remedy; an empty list when everything that exists can be
 * dropped.
 */
export async function whatKeepsInClickhouse(
  clickhouse: Clickhouse,
  { databases = [], tables = [], views = [] }: ToDrop,
): Promise<string[]> {
  if (databases.length + tables.length + views.length === 0) return []
  return [
    ...(await readOnly(clickhouse)),
    ...(await tooLarge(clickhouse, databases, tables)),
    ...(await lackingRights(clickhouse, [
      ...databases.map(name => [name, `${toMark}, DROP DATABASE, ${toDrop}`] as const),
      ...tables.map(({ database }) => [database, `${toMark}, ${toDrop}, ${toMake}`] as const),
      ...views.map(({ database }) => [database, 'DROP VIEW'] as const),
    ])),
  ]
}

/**
 * Single privileges, because the groups DROP and CREATE contain privileges that cannot be granted
 * on one database.
 */
const toMark = 'ALTER MODIFY DATABASE COMMENT'
const toDrop = 'DROP TABLE, DROP VIEW, DROP DICTIONARY'
const toMake = 'CREATE TABLE, CREATE VIEW, CREATE DICTIONARY, SELECT, INSERT, ALTER DELETE, TRUNCATE'

/** @see https://clickhouse.com/docs/operations/settings/permissions-for-queries */
async function readOnly(clickhouse: Clickhouse): Promise<string[]> {
  const [session] = await clickhouse.rows<{ readonly: string; ddl: string }>(
    "SELECT toString(getSetting('readonly')) AS readonly, toString(toUInt8(getSetting('allow_ddl'))) AS ddl",
  )
  const { readonly, ddl } = session!
  if (readonly === '0' && ddl === '1') return []
  return [
    `the user of ClickHouse may drop nothing: its profile sets readonly = ${readonly} and allow_ddl = ${ddl}; give it one with 0 and 1`,
  ]
}

/**
 * The limit of the user's profile, else the limit of the server.
 * @see https://clickhouse.com/docs/operations/settings/settings#max_table_size_to_drop
 */
async function tooLarge(
  clickhouse: Clickhouse,
  databases: readonly string[],
  tables: readonly { readonly database: string; readonly name: string }[],
): Promise<string[]> {
  const [limit] = await clickhouse.rows<{ bytes: string }>(
    `SELECT if(changed, value, (SELECT value FROM system.server_settings WHERE name = 'max_table_size_to_drop')) AS bytes
FROM system.settings WHERE name = 'max_table_size_to_drop'`,
  )
  const most = limit?.bytes ?? '0'
  if (most === '0') return []
  const found = await clickhouse.rows<{ database: string; table: string; bytes: string }>(
    `SELECT database, table, toString(sum(bytes_on_disk)) AS bytes FROM system.parts WHERE active AND database IN {all:Array(String)}
GROUP BY database, table HAVING sum(bytes_on_disk) > {most:UInt64} ORDER BY database, table`,
    { all: [...databases, ...tables.map(({ database }) => database)], most },
  )
  const isToDrop = ({ database, table }: { database: string; table: string }) =>
    databases.includes(database) || tables.some(each => each.database === database && each.name === table)
  const remedy = `set max_table_size_to_drop to 0 in the server's configuration or in the profile of this user`
  return found
    .filter(isToDrop)
    .map(
      ({ database, table, bytes }) =>
        `table ${database}.\`${table}\` in ClickHouse has ${bytes} bytes, and max_table_size_to_drop is ${most}; ${remedy}`,
    )
}

/** @see https://clickhouse.com/docs/sql-reference/statements/check-grant */
async function lackingRights(
  clickhouse: Clickhouse,
  wanted: readonly (readonly [database: string, rights: string])[],
): Promise<string[]> {
  const [account] = await clickhouse.rows<{ user: string }>('SELECT currentUser() AS user')
  const grants = new Set(wanted.map(([database, rights]) => `${rights} ON ${quoteName(database)}.*`))
  const reasons: string[] = []
  for (const grant of grants) {
    // This statement takes no FORMAT clause.
    const { body } = await clickhouse.stream(`CHECK GRANT ${grant}`, {}, AbortSignal.timeout(answerMs))
    if ((await text(body)).trim() !== '1')
      reasons.push(`the user of ClickHouse lacks rights: GRANT ${grant} TO ${quoteName(account!.user)}`)
  }
  return reasons
}

const answerMs = 30_000
