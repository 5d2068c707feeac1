// postgres/identity: which database this is, of which cluster, whatever its address.
// May know: postgres/connect.

import { connect, disconnect, query } from './connect.ts'

/**
 * As in `Generation.source`.
 * @see https://www.postgresql.org/docs/current/protocol-replication.html (IDENTIFY_SYSTEM)
 */
export async function identify(url: string, signal?: AbortSignal): Promise<string> {
  const client = await connect(url, { mode: 'replication', signal })
  try {
    const [system] = await query<{ systemid: string; dbname: string }>(client, 'IDENTIFY_SYSTEM')
    return `${system!.systemid}/${system!.dbname}`
  } finally {
    await disconnect(client)
  }
}
