// test/support/pipelines/sales-warehouse: the sales model with two years of history in ClickHouse,
// published, and a user for each of its roles.
// Triggers log the changes, so no Kafka is needed.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Clickhouse, connectClickhouse } from '../../../clickhouse/client.ts'
import { publish } from '../../../clickhouse/publish.ts'
import { generationDatabase } from '../../../contract/generation.ts'
import { backfill } from '../../../generator/database/backfill.ts'
import { applySchema } from '../../../generator/database/schema.ts'
import { generateOnce } from '../../../generator/live/generate-batch.ts'
import { loadModel, type Model } from '../../../modeling/model.ts'
import { loadRoles, type Role, rolesFile } from '../../../modeling/roles.ts'
import { packagePath } from '../../../runtime/files.ts'
import { projectRoot } from '../harness/root.ts'
import { createWarehouse } from '../servers/clickhouse.ts'
import { createDatabase, type TestDatabase } from '../servers/postgres.ts'
import { quietLog, type Services, startServices } from '../servers/services.ts'
import { ChangeLoader, logChanges, salesTables } from './sales-shop.ts'

const password = 'read-only'
export const dbtPassword = 'not a secret'

export interface SalesWarehouse {
  readonly services: Services
  readonly model: Model
  readonly roles: readonly Role[]
  /** The source. */
  readonly database: TestDatabase
  /** Runs as the owner of everything, in the generation's database. */
  readonly admin: Clickhouse
  readonly generation: string
  /** Runs as a user with this role and no other right, or as `grafana` or `dbt`. */
  as(user: string): Clickhouse
  stop(): Promise<void>
}

/**
 * Orders end now. Some of today are open or delivered, so a panel of this week or year shows rows.
 * Then every third customer moves.
 */
export async function startSalesWarehouse({ orders = 600 } = {}): Promise<SalesWarehouse> {
  const model = loadModel(packagePath('model/sales'), 'UTC')
  const roles = loadRoles(model)
  const services = await startServices(['postgres', 'clickhouse'], {
    'clickhouse.users.d/roles.xml': rolesFile(roles),
    'clickhouse.users.d/users.xml': usersFile(roles),
    'clickhouse.users.d/grafana.xml': grafanaUser(),
    'clickhouse.users.d/dbt.xml': dbtUser(),
  })
  const generation = generationDatabase('sales', 1)
  const admin = await createWarehouse(services, generation)
  const database = await createDatabase(services.endpoints.postgres!)
  await applySchema(database.url, quietLog())
  await logChanges(database)
  const loader = new ChangeLoader(database, admin, await salesTables(database))
  await loader.createTables()
  await loader.createModel(model)
  await backfill({ url: database.url, orders, years: 2, seed: 5, until: new Date(), log: quietLog() })
  await ordersOfToday(database)
  await loader.drain()
  await database.sql("UPDATE shop.customers SET city = 'Somewhere Else' WHERE customer_id % 3 = 0")
  await loader.drain()
  const publisher = { pipeline: 'sales', kafkaCluster: 'none' }
  await publish(admin, { generation, views: model.publish, publisher })
  const passwords = {
    ...Object.fromEntries(roles.map(({ name }) => [name, password])),
    grafana: password,
    dbt: dbtPassword,
  }
  const readers = new Map(
    Object.entries(passwords).map(([user, password]) => [
      user,
      connectClickhouse({ url: services.endpoints.clickhouse!, user, password }),
    ]),
  )
  return {
    services,
    model,
    roles,
    database,
    admin,
    generation,
    as: user => readers.get(user)!,
    async stop() {
      for (const client of [admin, ...readers.values()]) await client.close()
      await database.drop()
      await services.stop()
    },
  }
}

/** With so few orders in two years, it is random whether any is open or was placed this week. */
async function ordersOfToday(database: TestDatabase): Promise<void> {
  const signal = new AbortController().signal
  await generateOnce({ url: database.url, kind: 'order', count: 40, seed: 5, from: 'command', log: quietLog(), signal })
  await database.sql(
    "UPDATE shop.orders SET status = 'delivered', paid_at = now(), shipped_at = now(), delivered_at = now(), updated_at = now() WHERE status = 'created' AND order_id % 2 = 0",
  )
}

/** Users with the names of the roles. */
function usersFile(roles: readonly Role[]): string {
  const users = roles.map(
    ({ name }) => `<${name}>
  <password>${password}</password><networks><ip>127.0.0.1</ip></networks><quota>default</quota>
  <profile>${name}</profile><grants><query>GRANT ${name}</query></grants>
</${name}>`,
  )
  return `<clickhouse><users>${users.join('\n')}</users></clickhouse>`
}

/** A user with the rights that docs/how-to/bi/dbt.md grants. */
function dbtUser(): string {
  const page = readFileSync(join(projectRoot, 'docs/how-to/bi/dbt.md'), 'utf8')
  const grants = [...page.matchAll(/^(GRANT .*) TO dbt\b/gm)].map(([, grant]) => `<query>${grant}</query>`)
  return `<clickhouse><users><dbt>
  <password>${dbtPassword}</password><networks><ip>127.0.0.1</ip></networks><quota>default</quota><profile>default</profile>
  <grants>${grants.join('')}</grants>
</dbt></users></clickhouse>`
}

/** The user that docker-compose.yml gives to Grafana. */
function grafanaUser(): string {
  const file = readFileSync(join(projectRoot, 'grafana/clickhouse/users.xml'), 'utf8')
  return file.replace(/<password from_env="\w+"\/>/, `<password>${password}</password>`)
}
