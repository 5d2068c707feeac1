// postgres/replication/publication: creates, finds and drops publications.

import { MillraceError } from '../../runtime/errors.ts'
import { waitUntil } from '../../runtime/wait.ts'
import { type Client, query } from '../client/client.ts'
import { quoteName, quoteOnly, quoteString } from '../client/quote.ts'

export interface PublishedTable {
  readonly schema: string
  readonly name: string
  /** `r` ordinary, `p` partitioned: `pg_class.relkind`. */
  readonly kind: string
}

export interface NewPublication {
  readonly name: string
  readonly tables: readonly PublishedTable[]
  readonly comment: string
}

/**
 * A transaction that has run for longer is unlikely to be looking up a publication at this moment.
 */
const writersLimitMs = 5000

/**
 * Creates the publication of these tables, with all operations. It must exist before the slot is
 * made, because Postgres looks up a slot's changes in the publication as it was when they were
 * made.
 * @param comment the owner mark, set in the same transaction
 * @throws {MillraceError} POSTGRES_DENIED without the right; POSTGRES_FAILED when the name is in
 *   use
 * @see https://www.postgresql.org/docs/current/sql-createpublication.html
 */
export async function createPublication(client: Client, { name, tables, comment }: NewPublication): Promise<void> {
  if (tables.length === 0) {
    throw new MillraceError('CONFIG_INVALID', {
      what: 'there is no table to publish',
      where: `publication ${name}`,
      next: 'name at least one table that exists under `tables`',
    })
  }
  const create = createStatement(name, tables, await serverVersion(client))
  // One query of two statements is one transaction.
  await query(client, `${create}; COMMENT ON PUBLICATION ${quoteName(name)} IS ${quoteString(comment)}`)
}

/** @param version `server_version_num` */
export function createStatement(name: string, tables: readonly PublishedTable[], version: number): string {
  const options = publicationOptions(version)
  return `CREATE PUBLICATION ${quoteName(name)} FOR TABLE ${publishedNames(tables)} WITH (${options})`
}

/** The tables as CREATE PUBLICATION lists them. */
export function publishedNames(tables: readonly PublishedTable[]): string {
  return tables.map(quoteOnly).join(', ')
}

/** @param version `server_version_num` */
export function publicationOptions(version: number): string {
  const common = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
  return version >= 180_000 ? `${common}, publish_generated_columns = stored` : common
}

/**
 * The database's publications whose names begin with `prefix`, with their comments, sorted by name.
 */
export function findPublications(client: Client, prefix: string): Promise<{ name: string; comment: string | null }[]> {
  const statement = `SELECT pubname AS name, obj_description(oid, 'pg_publication') AS comment FROM pg_publication
    WHERE starts_with(pubname, $1) ORDER BY pubname`
  return query(client, statement, [prefix])
}

/**
 * Drops the publication, in two steps. A missing publication is no error. A writer first looks up
 * the publications of a table, then each of them, and fails with "cache lookup failed for
 * publication" when one was dropped in between. So the tables leave the publication first. It is
 * dropped once all transactions that may have looked before are over, or have run for long.
 */
export async function dropPublication(client: Client, name: string): Promise<void> {
  const published = await publishedTables(client, name)
  if (published.length > 0) {
    await query(client, `ALTER PUBLICATION ${quoteName(name)} DROP TABLE ${publishedNames(published)}`)
    await writersGone(
      client,
      published.map(({ oid }) => oid),
    )
  }
  await query(client, `DROP PUBLICATION IF EXISTS ${quoteName(name)}`)
}

/**
 * Waits until the transactions that have written to the tables or their partitions are over, for at
 * most 5 s.
 */
async function writersGone(client: Client, tables: readonly number[]): Promise<void> {
  const writers = await query<{ id: string }>(
    client,
    `SELECT DISTINCT virtualtransaction AS id FROM pg_locks
     WHERE mode = 'RowExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND relation IN (SELECT unnest($1::oid[]) UNION SELECT (pg_partition_tree(t)).relid FROM unnest($1::oid[]) t)`,
    [tables],
  )
  const ids = writers.map(({ id }) => id)
  if (ids.length === 0) return
  const running = () => query(client, 'SELECT FROM pg_locks WHERE virtualtransaction = ANY ($1) LIMIT 1', [ids])
  await waitUntil(async () => (await running()).length === 0, { timeoutMs: writersLimitMs, everyMs: 20 })
}

/** `server_version_num`: 180004 for 18.4. */
export async function serverVersion(client: Client): Promise<number> {
  const [row] = await query<{ version: number }>(client, "SELECT current_setting('server_version_num')::int AS version")
  return row!.version
}

function publishedTables(client: Client, name: string): Promise<(PublishedTable & { oid: number })[]> {
  return query(
    client,
    `SELECT c.oid, nspname AS schema, relname AS name, relkind AS kind
     FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
       JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE pubname = $1`,
    [name],
  )
}
