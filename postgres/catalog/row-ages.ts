// postgres/catalog/row-ages: how old the rows of a table are, by the transactions that wrote them.

import { type Client, query } from '../client/client.ts'
import { quoteTable } from '../client/quote.ts'
import type { MemberFacts, Xid } from './facts.ts'

/** So many blocks at the front are looked at: rows that were moved as they are, or came with the table, stand there. */
const blocks = 16_384
/** Who changes the table right now is not waited for. */
const lockTimeout = '1s'

/**
 * Whether it has a row that an older transaction than this one wrote. TRUNCATE and a rewriting ALTER TABLE leave none; VACUUM FULL
 * and CLUSTER keep the transaction of each row.
 * @throws {MillraceError} POSTGRES_BUSY while somebody changes the table; POSTGRES_DENIED without the right to read it
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
 * Whether it has a row that was there when it was attached to its parent.
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
 * Whether there was never a row in it, as far as Postgres' statistics tell: it is empty, nothing was ever inserted, and the last that
 * gave it another file was not TRUNCATE, which forgets how many rows there are.
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

/** Two statements in one message are one transaction; the rows of the second count. */
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
