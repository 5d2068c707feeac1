// postgres/catalog/deferrable-keys: tables in which two rows may have the same primary key until the end of a transaction.

import { type Client, query } from '../client/client.ts'

/**
 * Those of the tables, by oid, whose primary key is DEFERRABLE: rows may swap keys, or meet in one before the other leaves.
 * @throws {MillraceError} POSTGRES_*
 * @see https://www.postgresql.org/docs/current/sql-set-constraints.html
 */
export async function findDeferrableKeys(client: Client, tables: readonly number[]): Promise<Set<number>> {
  const rows = await query<{ oid: number }>(
    client,
    'SELECT indrelid AS oid FROM pg_index WHERE indisprimary AND NOT indimmediate AND indrelid = ANY ($1)',
    [tables],
  )
  return new Set(rows.map(({ oid }) => oid))
}
