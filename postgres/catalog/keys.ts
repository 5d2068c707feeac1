// postgres/catalog/keys: which primary keys are deferrable, and which tables refer to which.

import { type Client, query } from '../client/client.ts'

/**
 * Finds the tables, by oid, whose primary key is DEFERRABLE. Inside a transaction, rows of such a
 * table may swap keys, or two rows may have the same key.
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

export interface ForeignKey {
  readonly schema: string
  readonly table: string
  readonly columns: readonly string[]
  readonly targetSchema: string
  readonly target: string
}

/** All foreign keys, sorted by table and columns. @throws {MillraceError} POSTGRES_* */
export async function readForeignKeys(client: Client): Promise<ForeignKey[]> {
  return query<ForeignKey>(
    client,
    `SELECT n.nspname AS schema, c.relname AS "table", tn.nspname AS "targetSchema", t.relname AS target,
  (SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(f.conkey) WITH ORDINALITY k (number, place)
    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number) AS columns
FROM pg_constraint f
  JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class t ON t.oid = f.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE f.contype = 'f' AND f.conparentid = 0
ORDER BY n.nspname, c.relname, f.conkey`,
  )
}
