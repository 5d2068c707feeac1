// generator/database/execute: runs operations in Postgres.

import type { Client } from '../../postgres/client/client.ts'
import { postgresFailure } from '../../postgres/client/errors.ts'
import type { Operation } from '../shop/operation.ts'
import { statementsOf } from './statements.ts'

/**
 * Runs within the caller's transaction.
 * @returns the changed rows @throws {MillraceError} POSTGRES_*
 */
export async function execute(client: Client, operations: readonly Operation[]): Promise<number> {
  let changes = 0
  for (const { name, text, values } of statementsOf(operations)) {
    try {
      const { rowCount } = await client.query({ name, text, values: [...values] })
      changes += rowCount ?? 0
    } catch (error) {
      throw postgresFailure(error, `the generator, to ${name}`)
    }
  }
  return changes
}
