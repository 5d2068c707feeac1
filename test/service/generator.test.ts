// test/service/generator.test: the generator's shop on a real Postgres.

import { backfill } from '../../generator/database/backfill.ts'
import { applySchema, countOrders } from '../../generator/database/schema.ts'
import { generateOnce } from '../../generator/live/generate-batch.ts'
import { RateLimiter } from '../../generator/live/rate-limiter.ts'
import { generate } from '../../generator/live/run.ts'
import { Control } from '../../generator/live/run-control.ts'
import { scenarioSchema } from '../../generator/shop/scenario.ts'
import type { Log } from '../../runtime/log.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { logChanges } from '../support/pipelines/sales-shop.ts'
import { createDatabase, type TestDatabase } from '../support/servers/postgres.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

const end = new Date('2025-11-21T09:00:00Z')
const log = quietLog()

let services: Servers
const databases: TestDatabase[] = []

async function emptyShop(): Promise<TestDatabase> {
  const database = await createDatabase(services.endpoints.postgres!)
  databases.push(database)
  await applySchema(database.url, log)
  return database
}

async function shop(orders: number): Promise<TestDatabase> {
  const database = await emptyShop()
  await backfill({ url: database.url, orders, years: 2, seed: 5, until: end, log })
  return database
}

/** Runs the simulation until the triggers have counted this many changed rows. */
async function liveFor(database: TestDatabase, changes: number, rate: number): Promise<number> {
  const controller = new AbortController()
  const simulation = generate({
    url: database.url,
    control: new Control(new RateLimiter(rate)),
    seed: 3,
    log,
    signal: controller.signal,
  })
  const counted = async () => (await noted(database)) >= changes
  await Promise.race([simulation, until(counted, { what: `${changes} changes`, timeoutMs: 40_000 })])
  controller.abort()
  return (await simulation).changes
}

async function noted(database: TestDatabase): Promise<number> {
  const [row] = await database.sql<{ n: string }>('SELECT count(*) AS n FROM public.noted')
  return Number(row!.n)
}

/** One hash for all rows of the table. */
async function checksum(database: TestDatabase, table: string): Promise<string> {
  const [row] = await database.sql<{ hash: string }>(
    `SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) AS hash FROM ${table} t`,
  )
  return row!.hash
}

const test = suite('generator on Postgres')

test.before(async () => {
  services = await shareServers(['postgres'])
})

test.after(async () => {
  for (const database of databases) await database.drop()
  await services?.stop()
})

test('the schema can be applied twice; every table and column has a comment and logs whole old rows', async () => {
  const database = await emptyShop()
  await Promise.all([applySchema(database.url, log), applySchema(database.url, log)])
  const bare = await database.sql(`SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
      AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL OR c.relreplident <> 'f')`)
  assert.equal(bare, [])
  const tables = await database.sql(`SELECT FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r'`)
  assert.is(tables.length, 10)
})

test('the same seed and end give the same history', async () => {
  const [one, two] = [await shop(500), await shop(500)]
  for (const table of ['shops', 'employees', 'products', 'customers', 'orders', 'order_items', 'user_traffic']) {
    assert.is(await checksum(one, `shop.${table}`), await checksum(two, `shop.${table}`), table)
  }
})

test('a history has the requested number of orders, whole rows, and sequences for new ones', async () => {
  const database = await shop(800)
  assert.is(await countOrders(database.url), 800)
  const orphans =
    await database.sql(`SELECT FROM shop.order_items i LEFT JOIN shop.orders o USING (order_id) WHERE o.order_id IS NULL
    UNION ALL SELECT FROM shop.orders o LEFT JOIN shop.customers c USING (customer_id) WHERE c.customer_id IS NULL
    UNION ALL SELECT FROM shop.orders o LEFT JOIN shop.shops s USING (shop_id) WHERE s.shop_id IS NULL
    UNION ALL SELECT FROM shop.order_items i LEFT JOIN shop.products p USING (product_id) WHERE p.product_id IS NULL`)
  assert.is(orphans.length, 0)
  const [row] = await database.sql<{ id: string }>(
    `INSERT INTO shop.orders (customer_id, shop_id, sales_territory_id, status, ordered_at, updated_at)
    VALUES (1, 1, 1, 'created', now(), now()) RETURNING order_id AS id`,
  )
  assert.is(row!.id, '801')
})

test('a history is refused in a shop with orders, and nothing is written', async () => {
  const database = await shop(50)
  const before = await checksum(database, 'shop.orders')
  const again = () => backfill({ url: database.url, orders: 10, years: 1, seed: 1, log })
  await assert.refuses(again, 'SOURCE_NOT_EMPTY')
  assert.is(await checksum(database, 'shop.orders'), before)
})

test('a history that fails half way leaves nothing behind', async () => {
  const database = await emptyShop()
  await database.sql('ALTER TABLE shop.order_items ADD CHECK (order_item_id < 400)')
  await assert.refuses(() => backfill({ url: database.url, orders: 500, years: 1, seed: 1, log }), 'POSTGRES_FAILED')
  for (const table of ['orders', 'customers', 'sales_territories']) {
    assert.equal(await database.sql(`SELECT FROM shop.${table}`), [], table)
  }
})

test('the simulation changes exactly the rows that it reports, at the requested rate', async () => {
  const database = await shop(300)
  await logChanges(database)
  const started = performance.now()
  const changes = await liveFor(database, 3000, 1500)
  const seconds = (performance.now() - started) / 1000
  assert.is(changes, await noted(database))
  assert.ok(changes / seconds < 1500 * 1.3, `${changes} changes in ${seconds} s`)
  const kinds = await database.sql<{ kind: string }>(
    `SELECT DISTINCT "table" || ' ' || op AS kind FROM public.noted ORDER BY 1`,
  )
  for (const kind of [
    'orders c',
    'orders u',
    'orders d',
    'order_items u',
    'order_items d',
    'products u',
    'customers c',
  ]) {
    assert.ok(
      kinds.some(row => row.kind === `shop.${kind}`),
      kind,
    )
  }
})

test('the simulation continues after a stop: open orders are finished and ids never repeat', async () => {
  const database = await shop(300)
  await logChanges(database)
  await liveFor(database, 600, 3000)
  const [before] = await database.sql<{ last: string }>('SELECT max(order_id) AS last FROM shop.orders')
  await liveFor(database, 1500, 3000)
  const advanced = await database.sql(
    `SELECT FROM public.noted WHERE "table" = 'shop.orders' AND op = 'u' AND (after ->> 'order_id')::bigint <= $1 LIMIT 1`,
    [before!.last],
  )
  assert.is(advanced.length, 1)
})

test('two simulations of one seed create the same orders of the same customers', async () => {
  const orders = async () => {
    const database = await shop(300)
    await logChanges(database)
    await liveFor(database, 900, 3000)
    return database.sql(`SELECT after ->> 'order_id' AS id, after ->> 'customer_id' AS customer, after ->> 'shop_id' AS shop
      FROM public.noted WHERE "table" = 'shop.orders' AND op = 'c' ORDER BY seq LIMIT 60`)
  }
  const [one, two] = [await orders(), await orders()]
  assert.is(one.length, 60)
  assert.equal(one, two)
})

/** An order log that only remembers its orders. */
function orderLog(): { log: Log; orders: number[] } {
  const orders: number[] = []
  const info: Log['info'] = (message, fields) =>
    void (message === 'order created' && orders.push(Number(fields?.order)))
  return { log: { ...log, info }, orders }
}

async function createdOrders(database: TestDatabase): Promise<number[]> {
  const rows = await database.sql<{ id: string }>(
    `SELECT after ->> 'order_id' AS id FROM public.noted WHERE "table" = 'shop.orders' AND op = 'c'`,
  )
  return rows.map(({ id }) => Number(id)).sort((a, b) => a - b)
}

test('the simulation and its scenario survive an outage of Postgres, and every order is logged', async () => {
  const database = await shop(300)
  await logChanges(database)
  const logged = orderLog()
  const controller = new AbortController()
  const control = new Control(new RateLimiter(500))
  const scenario = scenarioSchema.parse({ kind: 'flash_sale', category: 'Garden', discount: 50, seconds: 600 })
  const prices = () => database.sql(`SELECT product_id, price FROM shop.products WHERE category_id = 12 ORDER BY 1`)
  const before = await prices()
  const { signal } = controller
  const simulation = generate({ url: database.url, control, scenario, seed: 3, log: logged.log, signal })
  const state = (wanted: string) => until(() => control.status().state === wanted, { what: `the state ${wanted}` })
  for (let times = 0; times < 3; times++) {
    await state('running')
    const seen = await noted(database)
    await until(async () => (await noted(database)) > seen + 80, { what: 'changes' })
    await database.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query NOT LIKE '%pg_terminate%'`,
    )
    await state('waiting for Postgres')
    assert.is(control.status().scenario?.kind, 'flash_sale')
  }
  await state('running')
  const interrupted = await noted(database)
  await until(async () => (await noted(database)) > interrupted + 20, { what: 'changes after the interruptions' })
  assert.not.equal(await prices(), before)
  controller.abort()
  await simulation
  assert.equal(await prices(), before)
  assert.equal(
    logged.orders.toSorted((a, b) => a - b),
    await createdOrders(database),
  )
})

test('a scenario ends again when the connection was lost during its end', async () => {
  const database = await shop(300)
  // The first price that rises belongs to the end of the sale. Sequences also count rolled back
  // values.
  await database.sql(`CREATE SEQUENCE public.rises`)
  await database.sql(`CREATE TABLE public.before AS SELECT product_id, price FROM shop.products WHERE category_id = 12`)
  await database.sql(`CREATE TABLE public.restored (product_id bigint)`)
  await database.sql(`CREATE FUNCTION public.rise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('public.rises') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); END IF;
    INSERT INTO public.restored SELECT product_id FROM public.before WHERE product_id = NEW.product_id AND price = NEW.price;
    RETURN NEW; END $$`)
  await database.sql(`CREATE TRIGGER rise BEFORE UPDATE ON shop.products FOR EACH ROW
    WHEN (NEW.category_id = 12 AND NEW.price > OLD.price) EXECUTE FUNCTION public.rise()`)
  const controller = new AbortController()
  const { signal } = controller
  const scenario = scenarioSchema.parse({ kind: 'flash_sale', category: 'Garden', discount: 50, seconds: 1 })
  const simulation = generate({
    url: database.url,
    control: new Control(new RateLimiter(100)),
    scenario,
    seed: 3,
    log,
    signal,
  })
  const missing = () =>
    database.sql(
      `SELECT product_id FROM public.before WHERE product_id NOT IN (SELECT product_id FROM public.restored)`,
    )
  await until(async () => (await missing()).length === 0, { what: 'the prices from before the sale' })
  const [lost] = await database.sql<{ n: string }>(`SELECT last_value AS n FROM public.rises`)
  assert.ok(Number(lost!.n) > 1)
  controller.abort()
  await simulation
})

test('the requested number of orders and visits is created once, and logged', async () => {
  const database = await shop(100)
  await logChanges(database)
  const logged = orderLog()
  const { signal } = new AbortController()
  const once = { url: database.url, seed: 7, from: 'command' as const, log: logged.log, signal }
  const orders = await generateOnce({ ...once, kind: 'order', count: 620 })
  const visits = await generateOnce({ ...once, kind: 'visit', count: 40 })
  assert.equal([orders.orders, visits.orders, visits.visits], [620, 0, 40])
  assert.is(orders.changes + visits.changes, await noted(database))
  assert.equal(logged.orders, await createdOrders(database))
  const stopped = await generateOnce({ ...once, kind: 'order', count: 10, signal: AbortSignal.abort() })
  assert.is(stopped.orders, 0)
})

test('a shop without a seed set, and an invalid rate, are refused', async () => {
  const database = await emptyShop()
  const { signal } = new AbortController()
  const control = new Control(new RateLimiter(10))
  await assert.refuses(() => generate({ url: database.url, control, seed: 1, log, signal }), 'SOURCE_EMPTY')
  for (const rate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
    await assert.refuses(() => new RateLimiter(rate), 'USAGE')
})

test.run()
