// postgres/client/transaction: all of several statements, or none.

import { type Client, query } from './client.ts'

/** Commits once the work is done. When it fails, the transaction is rolled back and the work's own error thrown. */
export async function inTransaction<Result>(client: Client, work: () => Promise<Result>): Promise<Result> {
  await query(client, 'BEGIN')
  try {
    const result = await work()
    await query(client, 'COMMIT')
    return result
  } catch (error) {
    await query(client, 'ROLLBACK').catch(() => undefined)
    throw error
  }
}
