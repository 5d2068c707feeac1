// test/service/star.test: facts have the versions of dimensions that were valid when they happened,
// in any order of arrival.
// The expected rows were read from Postgres at that time.

import { readFileSync } from 'node:fs'
import { modelPage } from '../../cli/model/model-page.ts'
import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { applySchema } from '../../generator/database/schema.ts'
import { Random } from '../../generator/shop/random.ts'
import { describeModel } from '../../modeling/describe.ts'
import { loadModel } from '../../modeling/model.ts'
import { readForeignKeys } from '../../postgres/catalog/keys.ts'
import { chooseTables } from '../../producer/capture/table-choice.ts'
import { loadConfig } from '../../runtime/config/config.ts'
import { packagePath } from '../../runtime/files.ts'
import { testSeed } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { look, type Moment, randomDimensionEdit, starShop } from '../support/oracles/star-log.ts'
import { ChangeLoader, logChanges, salesTables } from '../support/pipelines/sales-shop.ts'
import { createDatabase, type TestDatabase, uniqueName } from '../support/servers/postgres.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

const seed = testSeed()
const model = loadModel(packagePath('model/sales'), 'America/New_York')
const edits = 50

/** Dimension, its key in the facts, its id. */
const dimensions = [
  ['customer', 'customer_id'],
  ['shop', 'shop_id'],
  ['employee', 'employee_id'],
  ['territory', 'sales_territory_id'],
  ['traffic_source', 'traffic_source_id'],
  ['product', 'product_id'],
] as const

const lookOfItem = `
SELECT order_id, order_item_id, customers.city AS customer, concat_ws(', ', shops.shop_name, shops.city, shops.territory_name, shops.region) AS shop,
  concat_ws(', ', places.country, places.region, places.city) AS location,
  concat_ws(', ', employees.employee_name, ifNull(employees.manager_name, '~'), employees.territory_name) AS employee,
  concat_ws(', ', territories.territory_name, territories.region) AS territory, sources.traffic_source_name AS traffic_source,
  concat_ws(', ', products.product_name, products.category, ifNull(products.subcategory, '~'), toDecimalString(products.price, 2)) AS product
FROM fact_order_items AS items
LEFT JOIN dim_customer AS customers ON customers.customer_key = items.customer_KEY
LEFT JOIN dim_shop AS shops ON shops.shop_key = items.shop_KEY
LEFT JOIN dim_location AS places ON places.location_key = items.location_KEY
LEFT JOIN dim_employee AS employees ON employees.employee_key = items.employee_KEY
LEFT JOIN dim_territory AS territories ON territories.territory_key = items.territory_KEY
LEFT JOIN dim_traffic_source AS sources ON sources.traffic_source_key = items.traffic_source_KEY
LEFT JOIN dim_product AS products ON products.product_key = items.product_KEY
ORDER BY order_item_id`

let services: Servers
let database: TestDatabase
let clickhouse: Clickhouse
let loader: ChangeLoader
const moments: Moment[] = []
/** Dimension versions of each order, by order_id. */
const orders = new Map<string, { readonly moment: Moment; readonly rows: Readonly<Record<string, string>> }>()

const test = suite('star', { timeoutMs: 120_000 })

test.before(async () => {
  services = await shareServers(['postgres', 'clickhouse'])
  database = await createDatabase(services.endpoints.postgres!)
  await applySchema(database.url, quietLog())
  await logChanges(database)
  const name = uniqueName('star')
  const account = { url: services.endpoints.clickhouse!, user: 'default', password: '' }
  const admin = connectClickhouse(account)
  await admin.command(`CREATE DATABASE ${name} ENGINE = Atomic`)
  await admin.close()
  clickhouse = connectClickhouse({ ...account, database: name })
  loader = new ChangeLoader(database, clickhouse, await salesTables(database))
  await loader.createTables()
  await loader.createModel(model)
})

test.after(async () => {
  await clickhouse?.close()
  await database?.drop()
  await services?.stop()
})

/** Inserts an order of one line at this moment, with dimensions that existed then and still do. */
async function order(random: Random, moment: Moment, at = moment.at): Promise<void> {
  const ids = { customer: 6, shop: 3, employee: 6, territory: 3, traffic_source: 2, product: 5 }
  const rows = Object.fromEntries(Object.entries(ids).map(([name, most]) => [name, String(random.integer(1, most))]))
  if (rows.customer === '6') rows.customer = '5'
  const [made] = await database.sql<{ order_id: string }>(
    `WITH made AS (INSERT INTO shop.orders (customer_id, shop_id, employee_id, sales_territory_id, traffic_source_id, status, ordered_at, paid_at, shipped_at, delivered_at, updated_at)
  VALUES ($1, $2, $3, $4, $5, 'delivered', $7, $7, $7, $7, now()) RETURNING order_id)
INSERT INTO shop.order_items (order_id, product_id, quantity, price, cost_price) SELECT order_id, $6, 2, 10.10, 4.05 FROM made RETURNING order_id`,
    [rows.customer, rows.shop, rows.employee, rows.territory, rows.traffic_source, rows.product, at],
  )
  orders.set(made!.order_id, { moment, rows: { ...rows, location: rows.shop! } })
}

async function assertLooks(suffix: string, expected: (id: string) => Moment): Promise<void> {
  const found = await clickhouse.rows<Record<string, string>>(lookOfItem.replaceAll('KEY', suffix))
  assert.is(found.length, orders.size)
  for (const { order_id, order_item_id: _, ...looks } of found) {
    const { rows } = orders.get(order_id!)!
    const moment = expected(order_id!)
    const wanted = Object.entries(rows).map(([name, id]) => [name, moment.looks.get(`${name} ${id}`)])
    assert.equal(looks, Object.fromEntries(wanted), `order ${order_id} at ${moment.at}`)
  }
}

test('without facts the calendar has the days of this year', async () => {
  const [calendar] = await clickhouse.rows('SELECT count() >= 365 AS whole, uniqExact(year) AS years FROM dim_date')
  assert.equal(calendar, { whole: 1, years: '1' })
})

test('an order has the versions that were valid when it was placed, and those valid now', async () => {
  const random = new Random(seed, 'star')
  await database.sql(starShop)
  moments.push(await look(database))
  for (let count = 1; count <= edits; count++) {
    await database.sql(randomDimensionEdit(random))
    moments.push(await look(database))
    if (random.chance(0.2)) await loader.some(random)
    if (random.chance(0.5)) await order(random, random.pick(moments))
  }
  for (const moment of moments) await order(random, moment)
  await loader.drain()
  await assertLooks('key', id => orders.get(id)!.moment)
  await assertLooks('current_key', () => moments.at(-1)!)
})

test('an order older than the first version has the first; a dimension that arrives late is found', async () => {
  const random = new Random(seed, 'old')
  await order(random, moments[0]!, '2001-02-03 04:05:06+00')
  await order(random, moments[0]!, '2099-12-31 23:59:59.999999+00')
  const [id] = [...orders.keys()].slice(-1)
  orders.set(id!, { ...orders.get(id!)!, moment: moments.at(-1)! })
  await loader.drain()
  await assertLooks('key', each => orders.get(each)!.moment)
  await database.sql(
    "INSERT INTO shop.traffic_sources (traffic_source_id, name, channel) OVERRIDING SYSTEM VALUE VALUES (9, 'late', 'email')",
  )
  await database.sql('UPDATE shop.orders SET traffic_source_id = 9 WHERE order_id = 1')
  const late = () => clickhouse.rows('SELECT traffic_source_key IS NULL AS missing FROM fact_orders WHERE order_id = 1')
  await loader.drain('shop.orders')
  assert.equal(await late(), [{ missing: 1 }])
  await loader.drain()
  assert.equal(await late(), [{ missing: 0 }])
})

test('versions of a dimension neither overlap nor leave gaps, and one is current for every row there is', async () => {
  // The random edits may not have reached this dimension yet.
  const edits = {
    customers: 'city',
    shops: 'name',
    sales_territories: 'name',
    employees: 'full_name',
    products: 'name',
    traffic_sources: 'name',
  }
  for (const [table, column] of Object.entries(edits))
    await database.sql(`UPDATE shop.${table} SET ${column} = ${column} || '!'`)
  await loader.drain()
  for (const [dimension, id] of dimensions) {
    const [found] = await clickhouse.rows<Record<string, string>>(
      `SELECT count() AS versions, uniqExact(${dimension}_key) AS keys, countIf(is_current) AS current, uniqExactIf(${id}, is_current) AS live,
  countIf(next_start < end_date) AS overlaps, countIf(next_start > end_date AND ${id} != 6) AS gaps, countIf(start_date >= end_date) AS empty,
  countIf(is_current != (end_date = '2199-12-31')) AS odd, countIf(is_current != (update_id IS NULL)) AS unclosed
FROM (
  SELECT *, leadInFrame(start_date, 1, end_date) OVER (PARTITION BY ${id} ORDER BY start_date ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next_start
  FROM dim_${dimension}
)`,
    )
    const last = await look(database)
    const live = [...last.looks.keys()].filter(row => row.startsWith(`${dimension} `)).length
    const { versions, keys, current, live: rows, ...faults } = found!
    assert.ok(Number(versions) > live, dimension)
    assert.equal([keys, Number(current), Number(rows)], [versions, live, live], dimension)
    assert.equal(Object.values(faults).map(Number), [0, 0, 0, 0, 0], dimension)
  }
})

test('every fact has a day in the calendar, and the calendar has every day of the years of facts once', async () => {
  await database.sql(
    `INSERT INTO shop.user_traffic (customer_id, traffic_source_id, visited_at, landing_page, cost, source, source_line)
     VALUES (1, 1, '2000-01-01 00:00:00+00', '/', 0.5, NULL, NULL), (NULL, 2, now(), '/a', 1.25, 'may.csv', 7)`,
  )
  await loader.drain()
  const [calendar] = await clickhouse.rows(
    `SELECT min(date) AS first, max(date) AS last, count() = last - first + 1 AS whole, uniqExact(date) = count() AS once,
  (SELECT count() FROM fact_orders WHERE order_date NOT IN (SELECT date FROM dim_date)) AS orders,
  (SELECT count() FROM fact_visits WHERE visit_date NOT IN (SELECT date FROM dim_date)) AS visits FROM dim_date`,
  )
  assert.equal(calendar, {
    first: '1999-01-01',
    last: '2099-12-31',
    whole: 1,
    once: 1,
    orders: '0',
    visits: '0',
  })
  const visits = await clickhouse.rows(
    'SELECT customer_key IS NULL AS anonymous, source_id_audit, source_line, toDecimalString(cost, 2) AS cost FROM fact_visits ORDER BY visit_id',
  )
  assert.equal(visits, [
    { anonymous: 0, source_id_audit: 'database', source_line: null, cost: '0.50' },
    { anonymous: 1, source_id_audit: 'may.csv', source_line: '7', cost: '1.25' },
  ])
})

test('orders, their lines and the daily report have the same totals', async () => {
  await database.sql("UPDATE shop.orders SET status = 'returned', returned_at = now() WHERE order_id % 3 = 0")
  await database.sql('DELETE FROM shop.orders WHERE order_id % 10 = 0')
  await loader.drain()
  const sums = (table: string) =>
    clickhouse.rows(`SELECT sum(revenue) AS revenue, sum(cost) AS cost, sum(profit) AS profit FROM ${table}`)
  const [report] = await clickhouse.rows(
    'SELECT sum(total_revenue) AS revenue, sum(total_cost) AS cost, sum(total_profit) AS profit FROM daily_sales_stats',
  )
  assert.equal(await sums('fact_orders'), [report])
  assert.equal(await sums('fact_order_items'), [report])
})

test('all published objects have comments, and types that all tools know', async () => {
  for (const { database: layer, name, source } of model.publish) {
    const columns = await clickhouse.rows<{ name: string; type: string; comment: string }>(
      'SELECT name, type, comment FROM system.columns WHERE database = currentDatabase() AND table = {source:String}',
      { source },
    )
    assert.ok(columns.length > 0, `${layer}.${name}`)
    for (const { name: column, type, comment } of columns) {
      assert.ok(comment, `${layer}.${name}.${column} has no comment`)
      if (layer === 'mart' || layer === 'analytics')
        assert.not.match(type, /UInt64|128|256|Aggregate|Array|Tuple|Map/, `${layer}.${name}.${column}`)
    }
    const shown = await clickhouse.rows<{ name: string; type: string }>(`DESCRIBE (SELECT * FROM ${quoteName(source)})`)
    assert.equal(
      shown.map(({ name: column, type }) => `${column} ${type}`),
      columns.map(({ name: column, type }) => `${column} ${type}`),
    )
  }
})

test('docs/reference/model.md is up to date', async () => {
  const config = loadConfig({ file: `${model.directory}/millrace.yaml`, env: {}, cwd: model.directory })
  const objects = await describeModel(clickhouse, await salesTables(database))
  const { tables: sources } = await chooseTables(database.client, config)
  const foreignKeys = await readForeignKeys(database.client)
  const page = modelPage({ config, model, sources, foreignKeys, objects })
  assert.is(readFileSync(packagePath('docs/reference/model.md'), 'utf8'), page, 'run: npm run docs')
})

test.run()
