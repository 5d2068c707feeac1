// test/long/members.test: three consumers of one generation under a hundred faults of consumers,
// ClickHouse and Kafka, with the sales model.
// `TEST_FAULTS` sets their number (default 100), `TEST_SEED` repeats their order and the pauses.

import { backfill } from '../../generator/database/backfill.ts'
import { Random } from '../../generator/shop/random.ts'
import { computedAggregates, countImages, disturb, faults } from '../support/faults/members.ts'
import { testSeed } from '../support/harness/seed.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { prepareSalesPipeline } from '../support/pipelines/sales-pipeline.ts'
import { quietLog, type Services, startServices } from '../support/servers/services.ts'

const times = Number(process.env.TEST_FAULTS ?? 100)
const rate = 200
const seed = testSeed()

const test = suite('members', { timeoutMs: 300_000 + times * 60_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

test(`every change counts once after ${times} faults, and all reports are right without a new computation`, async () => {
  await using pipeline = await prepareSalesPipeline(services, 'UTC')
  await backfill({ url: pipeline.psqlUrl, orders: 3_000, years: 1, seed, log: quietLog() })
  pipeline.start()
  await pipeline.settle(120_000)
  const computed = computedAggregates([pipeline.consumer])
  assert.ok(computed > 0, 'the first watermark needs the aggregates')
  await using second = pipeline.member()
  await using third = pipeline.member()
  const members = [pipeline.consumer, second, third]
  for (const member of [second, third]) member.start()
  await until(() => members.every(({ log }) => /members=3/.test(log)), { what: 'all have joined', timeoutMs: 120_000 })
  await using load = pipeline.worker('generator', 'generator', 'run', '--rate', String(rate), '--seed', String(seed))
  for (const worker of [pipeline.producer, ...members, load]) worker.supervised = true
  load.start()

  const random = new Random(seed, 'members')
  await disturb(pipeline, {
    services,
    members,
    faults: Array.from({ length: times }, () => random.pick(faults)),
    random,
  })

  await load.stop()
  await pipeline.settle(300_000)
  for (const [name, { images, distinct }] of Object.entries(await countImages(pipeline)))
    assert.is(images, distinct, name)
  const { reports } = await pipeline.assertEqual(120_000)
  assert.is(Object.keys(reports).length, 13)
  assert.is(computedAggregates(members), computed, 'aggregates were folded, and never computed anew')
})

test.run()
