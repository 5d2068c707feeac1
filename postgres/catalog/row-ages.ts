// postgres/catalog/row-ages: which transactions wrote the rows of a table.

import { type Client, query } from '../client/client.ts'
import { quoteTable } from '../client/quote.ts'
import type { MemberFacts, Xid } from './facts.ts'

/**
 * Number of blocks at the front of the table that are searched. Rows that VACUUM FULL or CLUSTER
 * moved, or that an attached table brought with it, are there.
 */
const blocks = 16_384
/** The search does not wait longer than this for a session that is altering the table. */
const lockTimeout = '1s'

/**
 * Whether the table has a row that an older transaction than `seen` wrote. TRUNCATE and a rewriting
 * ALTER TABLE leave no such row; VACUUM FULL and CLUSTER keep the transaction of each row.
 * @throws {MillraceError} POSTGRES_BUSY while a session alters the table; POSTGRES_DENIED without
 *   the right to read it
 */
export async function hasOlderRow(client: Client, member: MemberFacts, than: Xid): Promise<boolean> {
  const condition = `ctid < '(${blocks},0)' AND age(xmin) > age('${Number(than)}'::xid)`
  const [row] = await ask<{ found: boolean }>(
    client,
    `SELECT EXISTS (SELECT FROM ${from(member)} WHERE ${condition}) AS found`,
  )
  return row!.found
}

/**
 * Whether the table has a row that is older than its attachment to its parent.
 * @throws {MillraceError} as above
 */
export async function hadRows(client: Client, member: MemberFacts): Promise<boolean> {
  const [row] = await ask<{ found: boolean }>(
    client,
    `SELECT EXISTS (SELECT FROM pg_inherits i, ${from(member)} t WHERE i.inhrelid = ${member.oid} AND t.ctid < '(${blocks},0)'
       AND (age(t.xmin) > age(i.xmin) OR (t.xmin = i.xmin AND t.cmin::text::int8 < i.cmin::text::int8))) AS found`,
  )
  return row!.found
}

/**
 * Whether the table never had a row, by Postgres' statistics: it is empty, nothing was ever
 * inserted, and its last new file was not made by TRUNCATE, which resets the statistics.
 * @throws {MillraceError} as above
 */
export async function isUnused(client: Client, member: MemberFacts): Promise<boolean> {
  const [row] = await ask<{ unused: boolean }>(
    client,
    `SELECT reltuples >= 0 AND pg_stat_get_tuples_inserted(oid) = 0 AND NOT EXISTS (SELECT FROM ${from(member)}) AS unused
     FROM pg_class WHERE oid = ${member.oid}`,
  )
  return row?.unused ?? false
}

/** Two statements in one message are one transaction. The rows of the second one are the result. */
async function ask<Row extends object>(client: Client, statement: string): Promise<Row[]> {
  await query(client, 'BEGIN')
  try {
    await query(client, `SET LOCAL lock_timeout = '${lockTimeout}'`)
    return await query<Row>(client, statement)
  } finally {
    await query(client, 'ROLLBACK')
  }
}

function from({ schema, name }: MemberFacts): string {
  return `ONLY ${quoteTable({ schema, name })}`
}
