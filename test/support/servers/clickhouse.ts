// test/support/servers/clickhouse: a ClickHouse database for one test.

import { type Clickhouse, type ClickhouseOptions, connectClickhouse } from '../../../clickhouse/client.ts'
import { quoteString } from '../../../clickhouse/quote.ts'
import type { Servers } from './services.ts'

/** Creates the database and returns a connection to it. */
export async function createWarehouse(
  { endpoints }: Servers,
  database: string,
  { comment = '', ...options }: Pick<ClickhouseOptions, 'queryPrefix'> & { readonly comment?: string } = {},
): Promise<Clickhouse> {
  const account = { url: endpoints.clickhouse!, user: 'default', password: '' }
  const bare = connectClickhouse(account)
  await bare.command(`CREATE DATABASE ${database} ENGINE = Atomic COMMENT ${quoteString(comment)}`)
  await bare.close()
  return connectClickhouse({ ...account, ...options, database })
}
