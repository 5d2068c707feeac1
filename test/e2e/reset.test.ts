// test/e2e/reset.test: each part is reset only by its name and never under a running service;
// everything is equal afterwards.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { writeFixture } from '../support/harness/program.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { listGenerations, millrace, printed } from '../support/pipelines/commands.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import { Worker } from '../support/pipelines/worker.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('reset', { timeoutMs: 120_000 })
const source = `CREATE SCHEMA IF NOT EXISTS shop;
CREATE TABLE shop.orders (order_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL, updated_at timestamptz);
CREATE TABLE shop.items (item_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id int NOT NULL, price numeric(10,2) NOT NULL);
ALTER TABLE shop.orders REPLICA IDENTITY FULL; ALTER TABLE shop.items REPLICA IDENTITY FULL;`
/** Orders by status, and the sum of each status. */
const model = writeFixture({
  'source/010_shop.sql': source,
  'model.yaml': `requires: [shop.orders, shop.items]
publish:
  analytics: [orders_by_status, revenue_by_order]
aggregates:
  statuses: { by: [order_id], of: [shop.orders] }
  revenue: { by: [item_id], of: [shop.items] }
`,
  'clickhouse/100_statuses.sql': `CREATE TABLE statuses (status String, orders Int64) ENGINE = SummingMergeTree ORDER BY status;
CREATE VIEW \`statuses.contributions\` AS
SELECT status, sum(_sign) AS orders FROM \`shop.orders.rows\` GROUP BY status;
CREATE VIEW orders_by_status AS SELECT status, sum(statuses.orders) AS orders FROM statuses GROUP BY status HAVING orders != 0;
`,
  'clickhouse/200_revenue.sql': `CREATE TABLE revenue (order_id Int32, items Int64, price Decimal(38, 2)) ENGINE = SummingMergeTree ORDER BY order_id;
CREATE VIEW \`revenue.contributions\` AS
SELECT order_id, sum(_sign) AS items, sum(_sign * price) AS price FROM \`shop.items.rows\` GROUP BY order_id;
CREATE VIEW revenue_by_order AS SELECT order_id, sum(revenue.price) AS price FROM revenue GROUP BY order_id HAVING sum(items) != 0;
`,
  'checks/orders_by_status.sql': `-- key: status
SELECT status, count(*) AS orders FROM shop.orders GROUP BY 1
`,
  'checks/revenue_by_order.sql': `-- key: order_id
SELECT order_id, sum(price) AS price FROM shop.items GROUP BY 1
`,
})
let services: Servers
let pipeline: Pipeline

/** All tests share one pipeline, since every test must leave it consistent for the next. */
test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
  pipeline = await startPipeline(services, {
    setup: source,
    tables: { 'shop.*': {} },
    settings: { model },
    start: false,
  })
  await fill()
  pipeline.start()
  await pipeline.assertEqual()
})
test.after(async () => {
  await pipeline?.[Symbol.asyncDispose]()
  await services?.stop()
})

const fill = () =>
  pipeline.sql(`INSERT INTO shop.orders (status) SELECT 'status ' || g % 5 FROM generate_series(1, 300) g;
    INSERT INTO shop.items (order_id, price) SELECT g % 300, g / 7.0 FROM generate_series(1, 900) g`)

const generations = () => listGenerations(pipeline)

async function stop(): Promise<void> {
  await Promise.all([pipeline.producer.stop(), pipeline.consumer.stop()])
}

async function reset(part: string, name = pipeline.name): Promise<void> {
  assert.is(await millrace(pipeline, 'reset', part, '--confirm', name), 0)
}

/** Starts the services again. Changes made meanwhile must arrive too. */
async function goOn(): Promise<void> {
  await pipeline.sql('UPDATE shop.orders SET updated_at = now() WHERE order_id % 3 = 0')
  await pipeline.sql('DELETE FROM shop.items WHERE item_id % 50 = 0')
  pipeline.start()
  await pipeline.assertEqual()
}

async function orders(): Promise<number> {
  const [row] = await pipeline.clickhouse('SELECT toString(count()) AS n FROM shop.orders')
  return Number(row!.n)
}

test('reset destroys nothing without a name, with an unknown name, or under a running service', async () => {
  const star = () => reset('star')
  await assert.refuses(star, 'SERVICES_RUNNING', /the producer is running/)
  await stop()
  for (const [args, reason] of [
    [['star', '--confirm', 'shop'], /nothing was destroyed/],
    [['source', '--confirm', pipeline.name], /nothing was destroyed/],
    [['topics'], /no terminal to ask on/],
    [['everything', '--confirm', pipeline.name], /there is no part "everything"/],
  ] as const) {
    await assert.refuses(() => millrace(pipeline, 'reset', ...args), 'USAGE', reason)
  }
  assert.equal(await generations(), ['1 serving slot topics database'])
})

test('reset star is refused while a consumer runs elsewhere', async () => {
  const [file, directory] = [join(pipeline.directory, 'millrace.yaml'), join(pipeline.directory, 'elsewhere')]
  await using elsewhere = new Worker('consumer', ['consumer', '--config', file, '--data', directory])
  elsewhere.start()
  const what = 'the consumer elsewhere inserts'
  await until(() => /partitions assigned/.test(elsewhere.log), { what, timeoutMs: 30_000 })
  await assert.refuses(() => reset('star'), 'SERVICES_RUNNING', /a consumer works on this generation/)
})

test('reset star builds aggregates and views again from the tables', async () => {
  await fetch(`${services.endpoints.clickhouse}/?database=${pipeline.name}_1`, {
    method: 'POST',
    body: 'TRUNCATE TABLE revenue SYNC',
  })
  await fetch(`${services.endpoints.clickhouse}/?database=${pipeline.name}_1`, {
    method: 'POST',
    body: 'DROP TABLE statuses SYNC',
  })
  await reset('star')
  await goOn()
})

test('other SQL of an aggregate is refused until reset star, other SQL of a report is taken over', async () => {
  const edit = (name: string, from: string, to: string) => {
    const file = join(model, name)
    const sql = readFileSync(file, 'utf8')
    assert.ok(sql.includes(from), name)
    writeFileSync(file, sql.replace(from, to))
  }
  await stop()
  edit('clickhouse/100_statuses.sql', 'SELECT status, sum(_sign)', 'SELECT upper(status) AS status, sum(_sign)')
  edit('checks/orders_by_status.sql', 'SELECT status,', 'SELECT upper(status) AS status,')
  pipeline.start()
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  assert.match(pipeline.consumer.tail(), /MODEL_CHANGED: .*statuses\.contributions/)
  assert.match(pipeline.consumer.tail(), 'millrace reset star')
  await pipeline.producer.stop()
  await reset('star')
  await goOn()
  await stop()
  edit(
    'clickhouse/100_statuses.sql',
    'AS SELECT status, sum(statuses',
    "AS SELECT concat(status, '!') AS status, sum(statuses",
  )
  edit('checks/orders_by_status.sql', 'SELECT upper(status)', "SELECT upper(status) || '!'")
  await goOn()
  await stop()
})

test('reset warehouse builds everything again from the topics, unless they have lost records', async () => {
  await stop()
  await reset('warehouse')
  assert.equal(await generations(), ['1 live slot topics'])
  await goOn()
  assert.equal(await generations(), ['1 serving slot topics database'])
  await stop()
  const topic = `${pipeline.name}.1.shop.orders`
  const admin = new Kafka({ brokers: [services.endpoints.kafka!], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  await admin.fetchTopicOffsets(topic)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '5' }] })
  await admin.disconnect()
  await assert.refuses(() => reset('warehouse'), 'OFFSETS_MISSING', /the topic begins at offset 5/)
})

test('after reset topics the next start loads a new generation, and analysts see the old one until then', async () => {
  await reset('topics')
  assert.ok((await orders()) > 0)
  assert.equal(await generations(), ['1 dropped database'])
  assert.equal(await pipeline.sql('SELECT slot_name FROM pg_replication_slots WHERE database = current_database()'), [])
  assert.match(await printed(pipeline, 'generations'), /^ +1 {2}dropped .*whose rows analysts still see$/m)
  await assert.refuses(() => millrace(pipeline, 'generations', 'drop', '1'), 'USAGE', /the one that serves/)
  assert.match(await printed(pipeline, 'check'), 'ok    generation: generation 2 would be loaded')
  await goOn()
  assert.match(
    await printed(pipeline, 'check'),
    'ok    generation: generation 2 is live, and a producer would continue it',
  )
  assert.equal(await generations(), ['1 dropped database', '2 serving slot topics database'])
  assert.is(await millrace(pipeline, 'generations', 'drop', '1'), 0)
  assert.equal(await generations(), ['2 serving slot topics database'])
})

test('a lost generations topic stops both services by name, at once and at each start, until reset topics', async () => {
  const admin = new Kafka({ brokers: [services.endpoints.kafka!], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  await admin.deleteTopics({ topics: [`${pipeline.name}.generations`] })
  await admin.disconnect()
  const ends = async (worker: Worker) => {
    assert.equal(await worker.untilEnd(60_000), { code: 2, signal: null })
    assert.match(worker.tail(), 'GENERATION_UNKNOWN')
    assert.match(worker.tail(), 'millrace reset topics')
  }
  await ends(pipeline.producer)
  await ends(pipeline.consumer)
  pipeline.start()
  await ends(pipeline.producer)
  await ends(pipeline.consumer)
  assert.match(
    await printed(pipeline, 'check'),
    /FAIL {2}generation: there are slots, publications, topics or groups of generations .*\n.*fix: .*millrace reset topics/s,
  )
  assert.is(await millrace(pipeline, 'check'), 1)
  await reset('topics')
  assert.equal(await generations(), ['2 dropped database'])
  assert.equal(await pipeline.sql('SELECT slot_name FROM pg_replication_slots WHERE database = current_database()'), [])
  assert.equal(await pipeline.sql('SELECT pubname FROM pg_publication'), [])
  await goOn()
  assert.equal(await generations(), ['2 dropped database', '3 serving slot topics database'])
  assert.is(await millrace(pipeline, 'generations', 'drop', '2'), 0)
})

test('reset source empties its tables and everything downstream', async () => {
  await stop()
  await pipeline.sql(`CREATE PUBLICATION ${pipeline.name}_99`)
  await assert.refuses(() => reset('source', 'shop'), 'GENERATION_UNKNOWN', /nothing was destroyed, .*_99/)
  await pipeline.sql(`DROP PUBLICATION ${pipeline.name}_99`)
  assert.ok((await orders()) > 0)
  await reset('source', 'shop')
  await goOn()
  assert.is(await orders(), 0)
  await fill()
  await pipeline.assertEqual()
  assert.ok((await orders()) > 0)
})

test('reset all returns to the state before the first start', async () => {
  await stop()
  await reset('all')
  assert.equal(await generations(), [])
  await goOn()
  await fill()
  await pipeline.assertEqual()
  assert.equal(await generations(), ['5 serving slot topics database'])
})

test.run()
