// postgres/preflight/rights: the role of a connection, and the statements that let a role read a table.

import type { Named } from '../catalog/catalog.ts'
import { type Client, query } from '../client/client.ts'
import { quoteName, quoteTable } from '../client/quote.ts'

/** The role that the client acts as, in quotation marks. @throws {MillraceError} POSTGRES_* */
export async function currentRole(client: Client): Promise<string> {
  const [row] = await query<{ name: string }>(client, 'SELECT current_user::text AS name')
  return quoteName(row!.name)
}

/** For an owner of the table, or a superuser. @param role in quotation marks */
export function grantsToRead(table: Named, role: string): string[] {
  return [
    `GRANT USAGE ON SCHEMA ${quoteName(table.schema)} TO ${role}`,
    `GRANT SELECT ON ${quoteTable(table)} TO ${role}`,
  ]
}
