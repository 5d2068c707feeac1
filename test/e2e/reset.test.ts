// test/e2e/reset.test: each part is destroyed by its name only, never under a running service, and everything is equal afterwards.
// May know: everything.

import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { backfill } from '../../generator/backfill.ts'
import { applySchema } from '../../generator/schema.ts'
import { loadConfig } from '../../runtime/config.ts'
import { packagePath } from '../../runtime/package.ts'
import { listGenerations, millrace, printed } from '../support/millrace.ts'
import { type Pipeline, startPipeline } from '../support/pipeline.ts'
import { quietLog, type Servers, shareServers } from '../support/services.ts'
import { assert, suite, until } from '../support/suite.ts'
import { Worker } from '../support/worker.ts'

const test = suite('reset', { timeoutMs: 120_000 })
const model = packagePath('model/sales')
const { tables } = loadConfig({ file: join(model, 'millrace.yaml'), env: {}, cwd: model })
let services: Servers
let pipeline: Pipeline

/** One pipeline for all, since every test has to leave it consistent for the next. */
test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
  pipeline = await startPipeline(services, { tables, settings: { model }, start: false })
  await applySchema(pipeline.psqlUrl, quietLog())
  await fill()
  pipeline.start()
  await pipeline.assertEqual()
})
test.after(async () => {
  await pipeline?.[Symbol.asyncDispose]()
  await services?.stop()
})

const fill = () => backfill({ url: pipeline.psqlUrl, orders: 300, years: 1, seed: 5, log: quietLog() })

const generations = () => listGenerations(pipeline)

async function stop(): Promise<void> {
  await Promise.all([pipeline.producer.stop(), pipeline.consumer.stop()])
}

async function reset(part: string, name = pipeline.name): Promise<void> {
  assert.is(await millrace(pipeline, 'reset', part, '--confirm', name), 0)
}

/** Starts the services again; changes that were made meanwhile have to arrive as well. */
async function goOn(): Promise<void> {
  await pipeline.sql('UPDATE shop.orders SET updated_at = now() WHERE order_id % 3 = 0')
  await pipeline.sql('DELETE FROM shop.order_items WHERE order_item_id % 50 = 0')
  pipeline.start()
  await pipeline.assertEqual()
}

async function orders(): Promise<number> {
  const [row] = await pipeline.clickhouse('SELECT toString(count()) AS n FROM shop.orders')
  return Number(row!.n)
}

test('nothing is destroyed without its name, unknown, or under a running service', async () => {
  const star = () => reset('star')
  await assert.refuses(star, 'SERVICES_RUNNING', /the producer is running/)
  await stop()
  for (const [args, reason] of [
    [['star', '--confirm', 'shop'], /nothing was destroyed/],
    [['source', '--confirm', pipeline.name], /nothing was destroyed/],
    [['topics'], /nobody to ask/],
    [['everything', '--confirm', pipeline.name], /there is no part "everything"/],
  ] as const) {
    await assert.refuses(() => millrace(pipeline, 'reset', ...args), 'USAGE', reason)
  }
  assert.equal(await generations(), ['1 serving slot topics database'])
})

test('star is refused while a consumer folds elsewhere', async () => {
  const [file, directory] = [join(pipeline.directory, 'millrace.yaml'), join(pipeline.directory, 'elsewhere')]
  await using elsewhere = new Worker('consumer', ['consumer', '--config', file, '--data', directory])
  elsewhere.start()
  const what = 'the consumer elsewhere folds'
  await until(() => /partitions assigned/.test(elsewhere.log), { what, timeoutMs: 30_000 })
  await assert.refuses(() => reset('star'), 'SERVICES_RUNNING', /a consumer folds this generation/)
})

test('star: aggregates and views are built anew from the tables', async () => {
  await fetch(`${services.endpoints.clickhouse}/?database=${pipeline.name}_1`, {
    method: 'POST',
    body: 'TRUNCATE TABLE sales_cube SYNC',
  })
  await fetch(`${services.endpoints.clickhouse}/?database=${pipeline.name}_1`, {
    method: 'POST',
    body: 'DROP TABLE visits_by_month SYNC',
  })
  await reset('star')
  await goOn()
})

test('warehouse: everything is built anew from the topics, unless they no longer hold it', async () => {
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

test('topics: the next start loads a new generation, and analysts see the old one until then', async () => {
  await reset('topics')
  assert.ok((await orders()) > 0)
  assert.equal(await generations(), ['1 dropped database'])
  assert.equal(await pipeline.sql('SELECT slot_name FROM pg_replication_slots WHERE database = current_database()'), [])
  assert.match(await printed(pipeline, 'generations'), /^ +1 {2}dropped .*whose rows analysts still see$/m)
  await assert.refuses(() => millrace(pipeline, 'generations', 'drop', '1'), 'USAGE', /the one that serves/)
  assert.match(await printed(pipeline, 'check'), 'ok    generation: generation 2 would be loaded')
  await goOn()
  assert.match(await printed(pipeline, 'check'), 'ok    generation: generation 2 is live and would be gone on with')
  assert.equal(await generations(), ['1 dropped database', '2 serving slot topics database'])
  assert.is(await millrace(pipeline, 'generations', 'drop', '1'), 0)
  assert.equal(await generations(), ['2 serving slot topics database'])
})

test('a topic of generations that was lost stops both services by name, at once and at each start, until reset topics', async () => {
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
    /FAIL {2}generation: something has the names of generations .*\n.*fix: .*millrace reset topics/s,
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

test('source: its tables are empty, and so is everything that comes of them', async () => {
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

test('all: as on the first day', async () => {
  await stop()
  await reset('all')
  assert.equal(await generations(), [])
  await goOn()
  await fill()
  await pipeline.assertEqual()
  assert.equal(await generations(), ['5 serving slot topics database'])
})

test.run()
