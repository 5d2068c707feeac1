// test/support/random-transaction: statements in a transaction that commits, rolls back, or does so in part.

import type pg from 'pg'
import type { Random } from '../../generator/shop/random.ts'

/** Statements that failed are part of the game: a key that is there, two sessions that wait for each other. */
const expected = new Set([
  '23505', // unique_violation
  '23502', // not_null_violation
  '23503', // foreign_key_violation
  '23514', // check_violation
  '40P01', // deadlock_detected
])

/**
 * Runs up to eight statements in one transaction, some behind savepoints.
 * @returns whether it committed
 * @throws whatever fails for another reason than the rows that happen to be there
 */
export async function runTransaction(client: pg.Client, random: Random, statement: () => string): Promise<boolean> {
  await client.query('BEGIN')
  let savepoint = false
  for (let count = random.integer(0, 8); count > 0; count--) {
    if (random.chance(0.15)) {
      await client.query('SAVEPOINT here')
      savepoint = true
    }
    const sql = statement()
    try {
      await client.query(sql)
    } catch (error) {
      if (!expected.has((error as pg.DatabaseError).code ?? '')) throw new Error(sql, { cause: error })
      if (!savepoint) {
        await client.query('ROLLBACK')
        return false
      }
      await client.query('ROLLBACK TO here')
    }
    if (savepoint && random.chance(0.2)) await client.query('ROLLBACK TO here')
    if (savepoint && random.chance(0.1)) {
      await client.query('RELEASE here')
      savepoint = false
    }
  }
  const commits = random.chance(0.85)
  await client.query(commits ? 'COMMIT' : 'ROLLBACK')
  return commits
}
