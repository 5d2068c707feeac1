// test/service/model-sums.test: the sales reports equal what Postgres computes, after any row
// changes.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { publish } from '../../clickhouse/publish.ts'
import { backfill } from '../../generator/database/backfill.ts'
import { applySchema } from '../../generator/database/schema.ts'
import { Random } from '../../generator/shop/random.ts'
import type { Aggregate } from '../../modeling/aggregate.ts'
import { build } from '../../modeling/build.ts'
import { readDifference } from '../../modeling/difference.ts'
import { loadModel } from '../../modeling/model.ts'
import { readMarkers } from '../../modeling/position.ts'
import { packagePath } from '../../runtime/files.ts'
import { loadChecks, type ReportCheck, withPolicies } from '../../verify/checks.ts'
import { compareReport } from '../../verify/reports.ts'
import { chaos } from '../support/fixtures/sales-chaos.ts'
import { times } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { ChangeLoader, logChanges, salesTables } from '../support/pipelines/sales-shop.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { createDatabase, type TestDatabase, uniqueName } from '../support/servers/postgres.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

const timeZone = 'America/New_York'
const directory = packagePath('model/sales')
const model = loadModel(directory, timeZone)
const reports = model.publish.filter(({ database }) => database === 'analytics')
const published = reports.map(({ source }) => source)

let services: Servers
let database: TestDatabase
let clickhouse: Clickhouse
let loader: ChangeLoader
let checks: ReportCheck[]
let aggregates: readonly Aggregate[]
const signal = new AbortController().signal

/** Aggregates whose cells differ from their contributions over the state at their markers. */
async function wrongAggregates(): Promise<string[]> {
  const compared = aggregates.map(async aggregate => {
    const difference = await readDifference(clickhouse, aggregate, { signal, limit: 3 })
    return difference!.cells.map(cell => `${aggregate.name} ${JSON.stringify(cell)}`)
  })
  return (await Promise.all(compared)).flat()
}

async function assertEqual(when: string, which = checks): Promise<void> {
  for (const check of which) {
    const { differing } = await compareReport({ postgres: database.client, clickhouse, check })
    const rows = [...differing.values()].slice(0, 5).map(row => JSON.stringify(row))
    assert.is(differing.size, 0, `${check.name} differs ${when}:\n${rows.join('\n')}`)
  }
}

const test = suite('sales model', { timeoutMs: 180_000 })

test.before(async () => {
  services = await shareServers(['postgres', 'clickhouse'])
  database = await createDatabase(services.endpoints.postgres!)
  await applySchema(database.url, quietLog())
  await logChanges(database)
  const generation = uniqueName('model')
  clickhouse = await createWarehouse(services, generation)
  const tables = await salesTables(database)
  checks = withPolicies(loadChecks(model, timeZone), tables)
  loader = new ChangeLoader(database, clickhouse, tables)
  await loader.createTables()
  aggregates = await loader.createModel(model)
  const publisher = { pipeline: 'sales', kafkaCluster: 'none' }
  await publish(clickhouse, { generation, views: reports, publisher })
})

test.after(async () => {
  await clickhouse?.close()
  await database?.drop()
  await services?.stop()
})

test('without a single order the reports are empty', async () => {
  for (const { name } of checks) assert.equal(await clickhouse.rows(`SELECT * FROM ${name}`), [])
})

test('the reports of two years of history equal those of Postgres', async () => {
  const until = new Date('2025-11-21T09:00:00Z')
  await backfill({ url: database.url, orders: 3000, years: 2, seed: 7, until, log: quietLog() })
  await loader.drain()
  await assertEqual('after the history')
  const [counted] = await clickhouse.rows<{ days: number; best: number }>(
    'SELECT (SELECT count() FROM daily_sales_stats) AS days, (SELECT count() FROM territory_top_customers) AS best',
  )
  assert.ok(Number(counted!.days) > 600 && Number(counted!.best) > 500, JSON.stringify(counted))
})

for (let seed = 11; seed < 11 + times(1); seed++) {
  test(`reports after random changes in random batches equal those of Postgres (seed ${seed})`, async () => {
    const random = new Random(seed, 'chaos')
    for (let round = 1; round <= 6; round++) {
      for (let statement = random.integer(1, 6); statement > 0; statement--) await database.sql(chaos(random))
      await loader.some(random)
      await loader.fold()
      assert.equal(await wrongAggregates(), [], `in round ${round} of seed ${seed}`)
      if (round % 3 > 0) continue
      await loader.drain()
      await assertEqual(`in round ${round} of seed ${seed}`)
    }
  })
}

test('a damaged aggregate is noticed, and built again beside the damaged one', async () => {
  await clickhouse.command(
    "INSERT INTO sales_fresh (grain, period, orders, revenue) VALUES ('day', '2024-05-05', 3, 5.55), ('day', '2024-05-06', -1, 0)",
  )
  await clickhouse.command("INSERT INTO visits_by_month (month, traffic_source_id, visits) VALUES ('2024-05-01', 1, 1)")
  await assert.rejects(() => assertEqual('after the damage'))
  assert.equal(
    (await wrongAggregates()).map(text => text.split(' ')[0]),
    ['sales_fresh', 'sales_fresh', 'visits_by_month'],
  )
  for (const aggregate of aggregates) {
    const cut = (await readMarkers(clickhouse, aggregate))!
    await build(clickhouse, aggregate, { cut, beside: true, signal, sliceRows: 700 })
  }
  assert.equal(await wrongAggregates(), [])
  await assertEqual('after the build')
})

test('sums of the largest source values are right, or an error if the requested type is too narrow', async () => {
  const order = async (lines: string) => {
    const [placed] = await database.sql<{ order_id: string }>(
      `WITH placed AS (INSERT INTO shop.orders (customer_id, shop_id, employee_id, sales_territory_id, status, ordered_at, paid_at, shipped_at, delivered_at, updated_at)
  SELECT min(customer_id), 1, (SELECT min(employee_id) FROM shop.employees), 1, 'delivered', '2025-06-15 12:00+00', now(), now(), now(), now() FROM shop.customers
  RETURNING order_id), lines AS (INSERT INTO shop.order_items (order_id, product_id, quantity, price, cost_price)
  SELECT order_id, line.* FROM placed, (VALUES ${lines}) AS line) SELECT order_id FROM placed`,
    )
    await loader.drain()
    return () => database.sql(`DELETE FROM shop.orders WHERE order_id = ${placed!.order_id}`)
  }
  await order('(1, 10, 9999999999999.99, 0)')
  await assertEqual('with 99,999,999,999,999.90 on one line')
  const days = checks.filter(({ name }) => name === 'daily_sales_stats')
  for (const [lines, what] of [
    ['(2, 2000000000, 1, 1), (2, 2000000000, 1, 1), (2, 2000000000, 1, 1)', 'UInt32'],
    ['(1, 2000000000, 9999999999999.99, 9999999999999.99)', 'Decimal'],
  ] as const) {
    const undo = await order(lines)
    await assertEqual(
      `with ${lines}`,
      checks.filter(check => !days.includes(check)),
    )
    const error = await clickhouse.rows('SELECT * FROM daily_sales_stats').catch(error => error)
    assert.match(String(error.message), what)
    await undo()
    await loader.drain()
  }
})

test('merges change nothing', async () => {
  for (const { name } of aggregates) await clickhouse.command(`OPTIMIZE TABLE ${name} FINAL`)
  await assertEqual('after merges')
})

test('daily_sales_stats has exactly the requested columns and types', async () => {
  const columns = await clickhouse.rows<{ name: string; type: string }>('DESCRIBE TABLE daily_sales_stats')
  assert.equal(
    columns.map(({ name, type }) => `${name} ${type}`),
    [
      'date Date',
      'total_orders UInt32',
      'total_items_sold UInt32',
      'total_revenue Decimal(15, 2)',
      'total_cost Decimal(15, 2)',
      'total_profit Decimal(15, 2)',
      'average_order_value Decimal(15, 2)',
    ],
  )
})

test('views for analysts have comments and types that every tool reads', async () => {
  const columns = await clickhouse.rows<{ table: string; name: string; type: string; comment: string }>(
    'SELECT table, name, type, comment FROM system.columns WHERE database = currentDatabase() AND table IN {tables:Array(String)}',
    { tables: [...published, ...model.aggregates.keys()] },
  )
  assert.ok(columns.length > 0)
  assert.equal(
    columns.filter(({ comment }) => comment === '').map(({ table, name }) => `${table}.${name}`),
    [],
  )
  const forTools = columns.filter(({ table }) => published.includes(table))
  assert.equal(
    forTools.filter(({ type }) => /UInt64|128|256|Aggregate/.test(type)).map(({ table, name }) => `${table}.${name}`),
    [],
  )
})

test.run()
