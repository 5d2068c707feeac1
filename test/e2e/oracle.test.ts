// test/e2e/oracle.test: every report equals what Postgres computes from the rows, after any edits
// of a shop and its history.
// `TEST_SEED` repeats a run, except for its date.

import { connectClickhouse } from '../../clickhouse/client.ts'
import { backfill } from '../../generator/database/backfill.ts'
import { loadShopState, ReservedIds } from '../../generator/database/shop-state.ts'
import { execute } from '../../generator/database/statements.ts'
import type { Operation } from '../../generator/shop/operation.ts'
import { Random } from '../../generator/shop/random.ts'
import { type ScenarioKind, scenarioKinds, scenarioSchema } from '../../generator/shop/scenario.ts'
import { ShopSimulation } from '../../generator/shop/shop-simulation.ts'
import { loadModel } from '../../modeling/model.ts'
import { withClient } from '../../postgres/client/client.ts'
import { inTransaction } from '../../postgres/client/transaction.ts'
import { packagePath } from '../../runtime/files.ts'
import { loadChecks, uncheckedViews } from '../../verify/checks.ts'
import { historyEdits } from '../support/fixtures/history-edits.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import type { Pipeline } from '../support/pipelines/pipeline.ts'
import { prepareSalesPipeline } from '../support/pipelines/sales-pipeline.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

const orders = 3_000
const years = 3
const minutes = 60
const rowsPerMinute = 50
const rounds = times(1)

const seed = testSeed()
const random = new Random(seed, 'oracle')
const reportTimeZone = random.pick(['UTC', 'Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu', 'Pacific/Apia'])
const model = loadModel(packagePath('model/sales'), reportTimeZone)
const checks = loadChecks(model, reportTimeZone)
const started = Date.now()

let services: Servers
let pipeline: Pipeline

const test = suite('oracle', { timeoutMs: 120_000 })

test.before(async () => {
  console.log(`reports in ${reportTimeZone}`)
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
  pipeline = await prepareSalesPipeline(services, reportTimeZone)
})
test.after(async () => {
  await pipeline?.[Symbol.asyncDispose]()
  await services?.stop()
})

/** Compares every table and every published report, to the cent. */
async function assertEqual(when: string): Promise<void> {
  const { reports, unchecked } = await pipeline.assertEqual().catch(cause => {
    throw new Error(`${when}, seed ${seed}, reports in ${reportTimeZone}: ${cause.message}`, { cause })
  })
  assert.equal(
    Object.keys(reports),
    checks.map(({ name }) => name),
  )
  assert.equal(unchecked, [])
  for (const [name, { rows }] of Object.entries(reports)) assert.ok(rows > 0, `${name} is empty ${when}`)
}

test('reports are equal after a load of years of history', async () => {
  const until = new Date(started - minutes * 60_000)
  await backfill({ url: pipeline.psqlUrl, orders, years, seed, until, log: quietLog() })
  pipeline.start()
  await assertEqual('after the history')
})

const everyKind: Readonly<Record<Operation['kind'], true>> = {
  ...{
    order: true,
    step: true,
    quantity: true,
    correction: true,
    removal: true,
    visit: true,
    price: true,
    registration: true,
  },
  ...{ move: true, hiring: true, departure: true, transfer: true, handover: true, renaming: true },
}

test('reports are equal after an hour of simulation with every rare event', async () => {
  const happened = new Set<string>()
  await withClient(pipeline.psqlUrl, async client => {
    const ids = new ReservedIds()
    const simulation = new ShopSimulation(seed, await loadShopState(client), ids)
    const live = (at: Date) =>
      inTransaction(client, async () => {
        await ids.reserve(client, 2 * rowsPerMinute)
        const operations = simulation.batch(rowsPerMinute, at)
        for (const { kind } of operations) happened.add(kind)
        await execute(client, operations)
      })
    for (let minute = 0; minute < minutes; minute++) {
      const at = new Date(started - (minutes - minute) * 60_000)
      const scenario = scenarioAt(minute)
      if (scenario !== undefined) simulation.begin(scenarioSchema.parse({ kind: scenario, seconds: 300 }), at)
      await live(at)
    }
    // Rare events may not have happened yet.
    simulation.begin(scenarioSchema.parse({ kind: 'territory_reorganisation', seconds: 3600 }), new Date())
    for (let more = 0; more < 400 && happened.size < Object.keys(everyKind).length; more++) await live(new Date())
  })
  assert.equal([...happened].sort(), Object.keys(everyKind).sort())
  await assertEqual('after an hour of life')
})

/** Each kind once in the hour, one after the other. */
function scenarioAt(minute: number): ScenarioKind | undefined {
  return minute % 10 === 5 ? scenarioKinds[Math.floor(minute / 10)] : undefined
}

for (let round = 1; round <= rounds; round++) {
  test(`reports are equal after every kind of edit of the history, round ${round}`, async () => {
    const client = await pipeline.connect()
    const edits = Object.entries(historyEdits).map(([what, edit]) => ({ what, edit, at: random.fraction() }))
    for (const { what, edit } of edits.sort((a, b) => a.at - b.at)) {
      const results = await client.query(edit(random)).catch(cause => {
        throw new Error(`${what}, seed ${seed}`, { cause })
      })
      assert.ok([results].flat().at(-1)!.rowCount! > 0, `${what} changed nothing, seed ${seed}`)
    }
    await assertEqual(`after the edits of round ${round}`)
  })
}

test('every report that analysts see was compared', () => {
  assert.equal(uncheckedViews(model, checks), [])
  const analytics = model.publish.filter(({ database }) => database === 'analytics').map(({ name }) => name)
  assert.equal(analytics.sort(), checks.map(({ name }) => name).sort())
})

test('verify finds a wrong cent in one aggregate and names its row', async () => {
  const [day] = await pipeline.clickhouse<{ date: string }>(
    'SELECT date FROM daily_sales_stats ORDER BY total_revenue DESC LIMIT 1',
  )
  const account = { url: services.endpoints.clickhouse!, user: 'default', password: '' }
  const clickhouse = connectClickhouse({ ...account, database: await pipeline.database() })
  await clickhouse.command(
    `INSERT INTO sales_fresh (grain, period, shop_id, revenue) VALUES ('day', '${day!.date}', 1, 0.01)`,
  )
  await clickhouse.close()
  const { ok, outcome, tables, reports } = await pipeline.verify()
  assert.equal([ok, outcome], [false, 'different'])
  assert.ok(Object.values(tables).every(({ differing }) => differing === 0))
  const [row] = reports.daily_sales_stats!.keys
  assert.equal([row!.key, row!.state], [day!.date, 'different'])
  assert.ok(Object.keys(row!.columns!).includes('total_revenue'))
})

test.run()
