// producer/doubts: asks the rows of a table what its catalog does not tell.
// May know: postgres/{connect,facts,row-ages}, runtime/errors, producer/difference.

import type { Client } from '../postgres/connect.ts'
import type { Xid } from '../postgres/facts.ts'
import { hadRows, hasOlderRow, isUnused } from '../postgres/row-ages.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Doubt } from './difference.ts'

/**
 * Whether the rows show that nothing was lost; where they may not be read, they do not show it. Undefined while somebody keeps the table
 * locked.
 * @param seen rows of older transactions were there when the table was last known to be right
 * @throws {MillraceError} POSTGRES_*
 */
export async function isDispelled(client: Client, { kind, member }: Doubt, seen: Xid): Promise<boolean | undefined> {
  try {
    if (kind === 'attached') return !(await hadRows(client, member))
    if (await hasOlderRow(client, member, seen)) return true
    return kind === 'emptied' && (await isUnused(client, member))
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    if (error.code === 'POSTGRES_DENIED') return false
    if (error.code === 'POSTGRES_BUSY') return undefined
    throw error
  }
}
