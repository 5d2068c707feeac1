// generator/database/schema: the tables of the shop chain in Postgres.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { query, withClient } from '../../postgres/client/client.ts'
import { inTransaction } from '../../postgres/client/transaction.ts'
import { packagePath } from '../../runtime/files.ts'
import type { Log } from '../../runtime/log.ts'

/**
 * Creates the missing objects of the schema `shop`, in one transaction.
 * @throws {MillraceError} POSTGRES_*
 */
export async function applySchema(url: string, log: Log): Promise<void> {
  const directory = packagePath('model/sales/source')
  const files = readdirSync(directory).filter(file => file.endsWith('.sql'))
  await withClient(url, client =>
    inTransaction(client, async () => {
      await query(client, "SELECT pg_advisory_xact_lock(hashtext('millrace: schema shop'))")
      for (const file of files.sort()) await query(client, readFileSync(join(directory, file), 'utf8'))
    }),
  )
  log.info('the tables of the shop exist', { files: files.length })
}

/**
 * Applies the schema only if the table is missing, because applying it waits for every other
 * session.
 */
export async function ensureTable(url: string, table: string, log: Log): Promise<void> {
  const there = await withClient(url, async client => {
    const [found] = await query<{ there: boolean }>(client, 'SELECT to_regclass($1) IS NOT NULL AS there', [table])
    return found!.there
  })
  if (!there) await applySchema(url, log)
}

/** Number of orders; 0 if the table does not exist. @throws {MillraceError} POSTGRES_* */
export async function countOrders(url: string): Promise<number> {
  return withClient(url, async client => {
    const [found] = await query<{ there: boolean }>(client, "SELECT to_regclass('shop.orders') IS NOT NULL AS there")
    if (!found!.there) return 0
    const [counted] = await query<{ orders: string }>(client, 'SELECT count(*) AS orders FROM shop.orders')
    return Number(counted!.orders)
  })
}
