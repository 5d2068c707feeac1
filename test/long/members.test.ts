// test/long/members.test: three consumers of one generation under a hundred faults of consumers,
// ClickHouse and Kafka, with the sales model.
// `TEST_FAULTS` sets their number (default 100), `TEST_SEED` repeats their order and the pauses.

import { backfill } from '../../generator/database/backfill.ts'
import { Random } from '../../generator/shop/random.ts'
import { countImages, disturb, faults } from '../support/faults/members.ts'
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

test(`every change counts once after ${times} faults; differing aggregates are named, and a single consumer corrects them`, async () => {
  await using pipeline = await prepareSalesPipeline(services, 'UTC')
  await backfill({ url: pipeline.psqlUrl, orders: 3_000, years: 1, seed, log: quietLog() })
  pipeline.start()
  await pipeline.settle(120_000)
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
  const differing = async () => {
    const { tables, reports } = await pipeline.verify()
    const names = (each: typeof tables | typeof reports) =>
      Object.entries(each).flatMap(([name, report]) => (report.differing > 0 ? [name] : []))
    return { tables: names(tables), reports: names(reports) }
  }
  const reasons = () => pipeline.clickhouse<{ reason: string }>('SELECT reason FROM uncertain')
  const wrong = await differing()
  const uncertainties = await reasons()
  console.log(`changelogs hold each image once; tables that differ: ${wrong.tables.join(', ') || 'none'}`)
  console.log(
    `reports that differ: ${wrong.reports.join(', ') || 'none'}; marks of uncertainty: ${uncertainties.length}`,
  )
  assert.equal(wrong.tables, [])
  assert.ok(wrong.reports.length === 0 || uncertainties.length > 0, 'a difference is never silent')

  for (const member of [second, third]) await member.stop()
  await until(async () => (await reasons()).length === 0, { what: 'aggregates are computed anew', timeoutMs: 300_000 })
  await pipeline.assertEqual(120_000)
})

test.run()
