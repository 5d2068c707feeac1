// postgres/preflight/rights: rights of the role, and SQL that grants the right to read a table.

import type { Named } from '../catalog/catalog.ts'
import { type Client, query } from '../client/client.ts'
import { quoteName, quoteTable } from '../client/quote.ts'

/** The client's current role, quoted. @throws {MillraceError} POSTGRES_* */
export async function currentRole(client: Client): Promise<string> {
  const [row] = await query<{ name: string }>(client, 'SELECT current_user::text AS name')
  return quoteName(row!.name)
}

/** SQL for the table's owner or a superuser. @param role quoted */
export function grantsToRead(table: Named, role: string): string[] {
  return [
    `GRANT USAGE ON SCHEMA ${quoteName(table.schema)} TO ${role}`,
    `GRANT SELECT ON ${quoteTable(table)} TO ${role}`,
  ]
}

/**
 * Why the slots and publications cannot be dropped now, each reason as a sentence with its remedy;
 * empty when nothing prevents it. Slots and publications that do not exist are ignored.
 */
export async function whatKeepsInPostgres(
  client: Client,
  { slots, publications }: { readonly slots: readonly string[]; readonly publications: readonly string[] },
): Promise<string[]> {
  const found = await query(
    client,
    `SELECT FROM pg_replication_slots
     WHERE slot_name = ANY ($1) AND database = current_database()`,
    [slots],
  )
  const owned = await query<{ name: string; owner: string }>(
    client,
    `SELECT pubname AS name, pubowner::regrole::text AS owner FROM pg_publication
     WHERE pubname = ANY ($1) AND NOT pg_has_role(pubowner, 'USAGE') ORDER BY pubname`,
    [publications],
  )
  const { name, replicates, standby } = await readRole(client)
  const role = quoteName(name)
  return [
    ...(standby ? ['this Postgres is a standby; set source.url to the primary server'] : []),
    ...owned.map(
      ({ name, owner }) => `publication ${name} belongs to another role of Postgres; run GRANT ${owner} TO ${role}`,
    ),
    ...(found.length === 0 || replicates
      ? []
      : [`the role of Postgres may drop no slot; have a superuser run ALTER ROLE ${role} REPLICATION`]),
  ]
}

/**
 * `replicates`: the role is a superuser, has REPLICATION, or is a member of a managed service's
 * role for replication.
 */
export async function readRole(client: Client): Promise<{ name: string; replicates: boolean; standby: boolean }> {
  const [role] = await query<{ name: string; replicates: boolean; standby: boolean }>(
    client,
    `SELECT rolname AS name, pg_is_in_recovery() AS standby, rolreplication OR rolsuper OR EXISTS (
       SELECT FROM pg_roles r WHERE r.rolname = 'rds_replication' AND pg_has_role(r.oid, 'MEMBER')) AS replicates
     FROM pg_roles WHERE rolname = current_user`,
  )
  return role!
}
