// verify/snapshot: Postgres as of one LSN.
// May know: contract/position, postgres.

import { randomBytes } from 'node:crypto'
import { type Client, connect, query } from '../postgres/connect.ts'
import { createSlot } from '../postgres/slot.ts'

export interface SourceSnapshot {
  /** Exactly the transactions whose commit stands before this LSN are visible. */
  readonly lsn: number
  /** In a read-only transaction of that snapshot. */
  readonly client: Client
  close(): Promise<void>
}

/**
 * Creating a logical slot is the one way to get a snapshot and the LSN that it stands at; the slot goes as soon as the snapshot is taken.
 * @see https://www.postgresql.org/docs/current/protocol-replication.html (CREATE_REPLICATION_SLOT, SNAPSHOT 'export')
 * @throws {MillraceError} POSTGRES_*
 */
export async function openSnapshot(url: string): Promise<SourceSnapshot> {
  const slot = await createSlot(url, `millrace_verify_${randomBytes(6).toString('hex')}`, { temporary: true })
  try {
    const client = await connect(url)
    await query(client, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    await query(client, `SET TRANSACTION SNAPSHOT '${slot.snapshotName}'`)
    return { lsn: slot.consistentPoint, client, close: () => client.end() }
  } finally {
    await slot.release()
  }
}
