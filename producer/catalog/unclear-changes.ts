// producer/catalog/unclear-changes: reads the rows of a table where its catalog is ambiguous.

import { tableName } from '../../contract/table.ts'
import type { Xid } from '../../postgres/catalog/facts.ts'
import { hadRows, hasOlderRow, isUnused } from '../../postgres/catalog/row-ages.ts'
import type { Client } from '../../postgres/client/client.ts'
import { currentRole, grantsToRead } from '../../postgres/preflight/rights.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Difference, UnclearChange } from './difference.ts'

/**
 * Whether the rows show that nothing was lost. `unreadable` where this role may not read them.
 * Undefined while another session locks the table.
 * @param seen the work of all older transactions was visible when the table was last known to be
 *   right
 * @throws {MillraceError} POSTGRES_*
 */
export async function isHarmless(
  client: Client,
  { kind, member }: UnclearChange,
  seen: Xid,
): Promise<boolean | 'unreadable' | undefined> {
  try {
    if (kind === 'attached') return !(await hadRows(client, member))
    if (await hasOlderRow(client, member, seen)) return true
    return kind === 'emptied' && (await isUnused(client, member))
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    if (error.code === 'POSTGRES_DENIED') return 'unreadable'
    if (error.code === 'POSTGRES_BUSY') return undefined
    throw error
  }
}

/**
 * The difference that is assumed while the rows may not be read. @throws {MillraceError} POSTGRES_*
 */
export async function unreadable(client: Client, { member, otherwise }: UnclearChange): Promise<Difference> {
  const sql = grantsToRead(member, await currentRole(client)).join('; ')
  const name = tableName(member)
  const what = `${otherwise.what} That is assumed, because this role may not read ${name}. To find out, have an owner run the following, and start again: ${sql}`
  return { ...otherwise, what }
}
