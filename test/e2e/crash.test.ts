// test/e2e/crash.test: kill -9 of every process under load; afterwards both sides are equal.
// `TEST_SEED` repeats the order and the pauses.

import { join } from 'node:path'
import { backfill } from '../../generator/database/backfill.ts'
import { applySchema } from '../../generator/database/schema.ts'
import { Random } from '../../generator/shop/random.ts'
import { deleteTopics, listTopics } from '../../kafka/client/admin.ts'
import { loadConfig } from '../../runtime/config/config.ts'
import { computedAggregates, disturb, countImages as imagesOf } from '../support/faults/members.ts'
import { killEach, targets } from '../support/faults/nemesis.ts'
import { projectRoot } from '../support/harness/root.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import type { Worker } from '../support/pipelines/worker.ts'
import { connectTo } from '../support/servers/kafka.ts'
import { quietLog, type Services, startServices } from '../support/servers/services.ts'
import { appendRecords, readTopic } from '../support/servers/topic.ts'

const kills = times(1)
const rounds = times(1)
const rate = 400
const seed = testSeed()
const salesModel = join(projectRoot, 'model/sales')
const { tables: salesTables } = loadConfig({ file: join(salesModel, 'millrace.yaml'), env: {}, cwd: salesModel })

const test = suite('crash', { timeoutMs: 120_000 + kills * targets.length * 30_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

test(`producer, consumer, Kafka, ClickHouse and Postgres each killed ${kills} times under load`, async () => {
  await using pipeline = await startPipeline(services, {
    start: false,
    tables: salesTables,
    settings: { model: salesModel },
  })
  await applySchema(pipeline.psqlUrl, quietLog())
  await backfill({ url: pipeline.psqlUrl, orders: 5_000, years: 1, seed, log: quietLog() })
  pipeline.start()
  await pipeline.settle()
  const computed = computedAggregates([pipeline.consumer])
  assert.ok(computed > 0, 'the first watermark needs the aggregates')
  await using load = pipeline.worker('generator', 'generator', 'run', '--rate', String(rate), '--seed', String(seed))
  for (const worker of [pipeline.producer, pipeline.consumer, load]) worker.supervised = true
  load.start()

  await killEach(pipeline, { services, times: kills, random: new Random(seed, 'kills') })

  await load.stop()
  const { tables, reports } = await pipeline.assertEqual(120_000)
  assert.ok(Object.keys(reports).length >= 2)
  assert.ok(tables['shop.orders']!.postgres > 5_000)
  assert.is(computedAggregates([pipeline.consumer]), computed, 'after a crash, aggregates are folded as before')
})

test('an initial load that is killed starts again, and leaves nothing behind', async () => {
  await using pipeline = await startPipeline(services, {
    start: false,
    setup: `CREATE TABLE public.many (id int PRIMARY KEY, n int); ALTER TABLE public.many REPLICA IDENTITY FULL;
      INSERT INTO public.many SELECT g, g FROM generate_series(1, 300000) g`,
  })
  pipeline.start()
  await pipeline.until(() => pipeline.producer.log.includes('loading'), { what: 'the load begins' })
  await Promise.all([pipeline.producer.kill(), pipeline.consumer.kill()])
  assert.not.ok(pipeline.producer.log.includes('loaded'), 'the load was cut off')
  await pipeline.sql('DELETE FROM public.many WHERE id % 2 = 0')
  // The consumer opens the killed generation while it is half removed, and must not wait for its
  // topics once there is another generation.
  const kafka = await connectTo(services.endpoints.kafka!)
  await deleteTopics(kafka, await listTopics(kafka, `${pipeline.name}.1.`))
  await kafka.close()
  pipeline.consumer.start()
  await until(() => /started.*started.*consuming/s.test(pipeline.consumer.log), { what: 'it is taken up again' })
  pipeline.start()
  const { tables } = await pipeline.assertEqual()
  assert.not.match(pipeline.consumer.log, /abandoned the load/)
  assert.is(tables['public.many']!.clickhouse, 150_000)
  const slots = await pipeline.sql('SELECT slot_name FROM pg_replication_slots WHERE database = current_database()')
  assert.equal(slots, [{ slot_name: `${pipeline.name}_2` }])
})

const hundredRows = `CREATE TABLE public.counted (id int PRIMARY KEY, n int); ALTER TABLE public.counted REPLICA IDENTITY FULL;
  INSERT INTO public.counted SELECT g, g FROM generate_series(1, 100) g`

/** Makes an insert take two seconds. */
const slowView = 'CREATE MATERIALIZED VIEW slowly ENGINE = Null AS SELECT sleep(2) FROM `public.counted.changelog`'
const inserting = "SELECT query_id FROM system.processes WHERE query LIKE 'INSERT INTO `public.counted.changelog`%'"

/**
 * Number of images with sign +1 of these rows in the changelog, and of the changes that they belong
 * to.
 */
async function countImages(pipeline: Pipeline): Promise<{ rows: number; changes: number }> {
  const [row] = await pipeline.clickhouse<{ rows: string; changes: string }>(
    'SELECT count() AS rows, uniqExact(_version) AS changes FROM `public.counted.changelog` WHERE _sign > 0',
  )
  return { rows: Number(row!.rows), changes: Number(row!.changes) }
}

test('a record counts once that the broker appends for a killed producer after its successor has appended it too', async () => {
  await using pipeline = await startPipeline(services, {
    setup: hundredRows,
  })
  for (const consumerRuns of [true, false]) {
    await pipeline.sql('UPDATE counted SET n = n + 1 WHERE id <= 50')
    await pipeline.settle()
    await pipeline.producer.kill()
    if (!consumerRuns) await pipeline.consumer.kill()
    const { endpoints } = pipeline.services
    const topic = `${pipeline.name}.1.public.counted`
    const records = await readTopic(endpoints.kafka!, topic)
    await appendRecords(endpoints.kafka!, topic, records.slice(-20))
    await pipeline.sql('UPDATE counted SET n = -n WHERE id % 7 = 0; DELETE FROM counted WHERE id % 11 = 0')
    pipeline.start()
    await pipeline.assertEqual()
    const { rows, changes } = await countImages(pipeline)
    assert.is(rows, changes)
    assert.match(pipeline.consumer.log, /records that a producer had appended twice are left out/)
  }
})

/** The producer obeys SIGTERM before its own deadline of 10 s. */
async function stopWithin(worker: Worker, mostMs: number): Promise<void> {
  const started = performance.now()
  await worker.stop()
  assert.equal(worker.end, { code: 0, signal: null }, worker.tail())
  assert.ok(performance.now() - started < mostMs, worker.tail())
}

test('records whose progress could not be committed are found in the changelog, and not inserted again', async () => {
  await using pipeline = await startPipeline(services, {
    setup: hundredRows,
  })
  await pipeline.settle()
  // Kafka is killed during an insert, so the progress cannot be committed.
  await pipeline.clickhouse(slowView)
  for (let round = 1; round <= rounds; round++) {
    const before = await countImages(pipeline)
    await pipeline.sql('UPDATE counted SET n = n + 1')
    await pipeline.until(async () => (await pipeline.clickhouse(inserting)).length > 0, { what: 'the insert' })
    await services.kill('kafka')
    await pipeline.until(async () => (await pipeline.clickhouse(inserting)).length === 0, { what: 'its end' })
    assert.ok((await countImages(pipeline)).rows > before.rows, 'the records arrived')
    if (round % 2 === 0) await pipeline.consumer.kill()
    else await stopWithin(pipeline.consumer, 8_000)
    await services.restart()
    pipeline.consumer.start()
    await pipeline.settle()
    assert.is((await countImages(pipeline)).rows, 100 * (round + 1), `round ${round}`)
  }
})

test('an insert that still runs when its consumer is killed is waited for, and not repeated', async () => {
  await using pipeline = await startPipeline(services, { setup: hundredRows })
  await pipeline.settle()
  await pipeline.clickhouse(slowView)
  await pipeline.sql('UPDATE counted SET n = n + 1')
  await pipeline.until(async () => (await pipeline.clickhouse(inserting)).length > 0, { what: 'the insert' })
  await pipeline.consumer.kill()
  pipeline.consumer.start()
  await pipeline.assertEqual()
  assert.is((await countImages(pipeline)).rows, 200)
})

test('every change counts once while three consumers of one generation are suspended, killed and stopped', async () => {
  await using pipeline = await startPipeline(services, { setup: hundredRows, settings: { kafka: { partitions: 4 } } })
  await using second = pipeline.member()
  await using third = pipeline.member()
  const members = [pipeline.consumer, second, third]
  for (const member of members.slice(1)) member.start()
  await until(() => members.every(({ log }) => /members=3/.test(log)), { what: 'all have joined', timeoutMs: 60_000 })
  for (const member of members) member.supervised = true
  const load = setInterval(() => {
    pipeline.sql('UPDATE counted SET n = n + 1 WHERE id % 3 = 0').catch(() => {})
  }, 200)
  const order = ['suspend', 'kill', 'terminate'] as const
  await disturb(pipeline, { services, members, faults: order, random: new Random(seed, 'members') }).finally(() =>
    clearInterval(load),
  )
  await pipeline.assertEqual(120_000)
  const { images, distinct } = (await imagesOf(pipeline))['public.counted.changelog']!
  assert.is(images, distinct)
})

test.run()
