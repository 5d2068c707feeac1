// postgres/client/transaction: several statements as one transaction.

import { type Client, query } from './client.ts'

/**
 * Commits once the work is done. When the work fails, rolls back and throws the error of the work.
 */
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
