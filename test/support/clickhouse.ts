// test/support/clickhouse: a database of a test's own.
// May know: clickhouse/client, test/support/services.

import { type Clickhouse, type ClickhouseOptions, connectClickhouse } from '../../clickhouse/client.ts'
import type { Services } from './services.ts'

/** Creates the database and gives a connection whose statements run in it. */
export async function createWarehouse(
  { endpoints }: Services,
  database: string,
  options: Pick<ClickhouseOptions, 'queryPrefix'> = {},
): Promise<Clickhouse> {
  const account = { url: endpoints.clickhouse!, user: 'default', password: '' }
  const bare = connectClickhouse(account)
  await bare.command(`CREATE DATABASE ${database} ENGINE = Atomic`)
  await bare.close()
  return connectClickhouse({ ...account, ...options, database })
}
