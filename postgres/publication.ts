// postgres/publication: which tables Postgres sends, kept at exactly what is wanted.
// May know: postgres/connect, runtime/errors.

import { setTimeout } from 'node:timers/promises'
import { escapeIdentifier } from 'pg'
import { MillraceError } from '../runtime/errors.ts'
import { type Client, query } from './connect.ts'

export interface PublishedTable {
  readonly schema: string
  readonly name: string
  /** `r` ordinary, `p` partitioned: `pg_class.relkind`. */
  readonly kind: string
}

/** A transaction that has run for longer is hardly in the middle of looking up a publication. */
const writersLimitMs = 5000

/**
 * Creates the publication, or alters it to exactly these tables, whole, all operations included. Must be done before the
 * slot is made: a slot's changes are looked up in the publication as it was when they were made.
 * @returns whether anything was changed
 * @throws {MillraceError} POSTGRES_DENIED without the right to; POSTGRES_FAILED when it publishes all tables or whole schemas
 * @see https://www.postgresql.org/docs/current/sql-createpublication.html
 */
export async function ensurePublication(
  client: Client,
  { name, tables }: { readonly name: string; readonly tables: readonly PublishedTable[] },
): Promise<boolean> {
  if (tables.length === 0) {
    throw new MillraceError('CONFIG_INVALID', {
      what: 'there is no table to publish',
      where: `publication ${name}`,
      next: 'name at least one table that exists under `tables`',
    })
  }
  const quoted = escapeIdentifier(name)
  const version = await serverVersion(client)
  const wanted = tables.map(quoteTable).join(', ')
  const found = await findPublication(client, name)
  if (!found) {
    await query(client, `CREATE PUBLICATION ${quoted} FOR TABLE ${wanted} WITH (${options(version)})`)
    return true
  }
  if (found.all_tables || (version >= 150_000 && (await publishesSchemas(client, name)))) {
    throw new MillraceError('POSTGRES_FAILED', {
      what: 'the publication publishes all tables or whole schemas, so it is not ours to narrow down',
      where: `publication ${name}`,
      next: `configure another name, or run DROP PUBLICATION ${quoted} if nobody else reads it`,
    })
  }
  const same = await publishesExactly(client, name, tables)
  // First, since Postgres refuses updates of a table whose generated columns are not published but part of its identity.
  if (!found.complete) await query(client, `ALTER PUBLICATION ${quoted} SET (${options(version)})`)
  if (!same) await query(client, `ALTER PUBLICATION ${quoted} SET TABLE ${wanted}`)
  return !same || !found.complete
}

/**
 * Drops the publication, in two steps; one that is not there is no error. A writer looks up first which publications a table
 * is in, then each of them, and fails with "cache lookup failed for publication" when one was dropped in between. So the tables
 * leave it first, and it goes when the transactions that may have looked before that are over, or have run for long.
 */
export async function dropPublication(client: Client, name: string): Promise<void> {
  const published = await publishedTables(client, name)
  if (published.length > 0) {
    const tables = published.map(quoteTable).join(', ')
    await query(client, `ALTER PUBLICATION ${escapeIdentifier(name)} DROP TABLE ${tables}`)
    await writersGone(
      client,
      published.map(({ oid }) => oid),
    )
  }
  await query(client, `DROP PUBLICATION IF EXISTS ${escapeIdentifier(name)}`)
}

/** Waits for the transactions that have written to the tables or their partitions until now, for a few seconds at most. */
async function writersGone(client: Client, tables: readonly number[]): Promise<void> {
  const writers = await query<{ id: string }>(
    client,
    `SELECT DISTINCT virtualtransaction AS id FROM pg_locks
     WHERE mode = 'RowExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND relation IN (SELECT unnest($1::oid[]) UNION SELECT (pg_partition_tree(t)).relid FROM unnest($1::oid[]) t)`,
    [tables],
  )
  const ids = writers.map(({ id }) => id)
  const end = performance.now() + writersLimitMs
  const running = () => query(client, 'SELECT FROM pg_locks WHERE virtualtransaction = ANY ($1) LIMIT 1', [ids])
  while (ids.length > 0 && performance.now() < end && (await running()).length > 0) await setTimeout(20)
}

/** `server_version_num`: 180004 for 18.4. */
export async function serverVersion(client: Client): Promise<number> {
  const [row] = await query<{ version: number }>(client, "SELECT current_setting('server_version_num')::int AS version")
  return row!.version
}

function options(version: number): string {
  const common = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
  return version >= 180_000 ? `${common}, publish_generated_columns = stored` : common
}

/** Without tables that inherit from it; a partitioned table always comes with its partitions. */
function quoteTable({ schema, name, kind }: PublishedTable): string {
  return `${kind === 'p' ? '' : 'ONLY '}${escapeIdentifier(schema)}.${escapeIdentifier(name)}`
}

/** Columns that older servers lack are looked up in the row as JSON. */
async function findPublication(
  client: Client,
  name: string,
): Promise<{ all_tables: boolean; complete: boolean } | undefined> {
  const [found] = await query<{ all_tables: boolean; complete: boolean }>(
    client,
    `SELECT puballtables AS all_tables,
       pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot
         AND coalesce(to_jsonb(p) ->> 'pubgencols', 's') = 's' AS complete
     FROM pg_publication p WHERE pubname = $1`,
    [name],
  )
  return found
}

async function publishesSchemas(client: Client, name: string): Promise<boolean> {
  const rows = await query<object>(
    client,
    `SELECT FROM pg_publication_namespace n JOIN pg_publication p ON p.oid = n.pnpubid WHERE pubname = $1`,
    [name],
  )
  return rows.length > 0
}

/** `whole`: without a row filter, and with all columns. */
function publishedTables(client: Client, name: string): Promise<(PublishedTable & { oid: number; whole: boolean })[]> {
  return query(
    client,
    `SELECT c.oid, nspname AS schema, relname AS name, relkind AS kind,
       to_jsonb(r) ->> 'prqual' IS NULL AND to_jsonb(r) ->> 'prattrs' IS NULL AS whole
     FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
       JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE pubname = $1`,
    [name],
  )
}

async function publishesExactly(client: Client, name: string, tables: readonly PublishedTable[]): Promise<boolean> {
  const rows = await publishedTables(client, name)
  const identify = (table: { schema: string; name: string }) => JSON.stringify([table.schema, table.name])
  const wanted = new Set(tables.map(identify))
  return rows.length === wanted.size && rows.every(row => row.whole && wanted.has(identify(row)))
}
