// test/e2e/property.test: both sides are equal after each burst of random transactions on random
// tables.
// `TEST_SEED` repeats a run.

import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { applySchema } from '../../generator/database/schema.ts'
import { Random } from '../../generator/shop/random.ts'
import { loadConfig } from '../../runtime/config/config.ts'
import { randomSalesStatement, smallShop } from '../support/fixtures/random-sales.ts'
import { createTable, randomStatement, randomTables } from '../support/fixtures/random-schema.ts'
import { runTransaction } from '../support/fixtures/random-transaction.ts'
import { projectRoot } from '../support/harness/root.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { HistoryLog, loggedTable, randomLoggedStatement } from '../support/oracles/history-log.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

const schemas = times(1)
const bursts = 2
const transactions = 80
const sessions = 3
const manyRows = 200_000
const salesModel = join(projectRoot, 'model/sales')
const { tables: salesTables } = loadConfig({ file: join(salesModel, 'millrace.yaml'), env: {}, cwd: salesModel })

const seed = testSeed()
const test = suite('property', { timeoutMs: 240_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

/** The seed determines each session's transactions, but not how the sessions interleave. */
async function runBursts(pipeline: Pipeline, purpose: string, statement: (random: Random) => string): Promise<void> {
  const clients = await Promise.all(Array.from({ length: sessions }, () => pipeline.connect()))
  let committed = 0
  for (let burst = 0; burst < bursts; burst++) {
    // Every other burst has a single session, so its history repeats exactly.
    const active = clients.slice(0, burst % 2 === 0 ? 1 : sessions)
    await Promise.all(
      active.map(async (client, session) => {
        const random = new Random(seed, `${purpose}, burst ${burst}, session ${session}`)
        for (let count = transactions / active.length; count > 0; count--) {
          if (await runTransaction(client, random, () => statement(random))) committed++
        }
      }),
    )
    await pipeline.assertEqual().catch(cause => {
      throw new Error(`${purpose}, burst ${burst}`, { cause })
    })
  }
  assert.ok(committed > (bursts * transactions) / 4, `only ${committed} transactions committed`)
}

for (let index = 0; index < schemas; index++) {
  test(`tables are equal after random transactions on random tables, schema ${index}`, async () => {
    const random = new Random(seed, `schema ${index}`)
    const tables = randomTables(random)
    const setup = tables.map(createTable).join('\n')
    console.log(setup)
    const settings = tables.map(({ name, partitionKey, partitions }) => [
      name.replace(/"((?:[^"]|"")*)"/, (_, inner: string) => inner.replaceAll('""', '"')),
      { partitionKey: partitionKey.map(column => column.name), partitions },
    ])
    await using pipeline = await startPipeline(services, { setup, tables: Object.fromEntries(settings) })
    await runBursts(pipeline, `schema ${index}`, each => randomStatement(each, each.pick(tables)))
  })
}

test('tables are equal when rows change during the load', async () => {
  const random = new Random(seed, 'load')
  const tables = randomTables(random)
  await using pipeline = await startPipeline(services, {
    start: false,
    setup: `${tables.map(createTable).join('\n')}
      CREATE TABLE public.many (id int PRIMARY KEY, n int NOT NULL, t text); ALTER TABLE public.many REPLICA IDENTITY FULL;
      INSERT INTO public.many SELECT g, g % 7, 'row ' || g FROM generate_series(1, ${manyRows}) g;`,
  })
  let loading = true
  const write = async (session: number) => {
    const client = await pipeline.connect()
    const own = new Random(seed, `load, session ${session}`)
    const statement = () => (own.chance(0.5) ? randomStatement(own, own.pick(tables)) : changeOfMany(own))
    let committed = 0
    while (loading) {
      if (await runTransaction(client, own, statement)) committed++
      await pause(10)
    }
    return committed
  }
  const load = async () => {
    pipeline.start()
    await pipeline.settle()
    return 0
  }
  const work = [load().finally(() => (loading = false)), ...Array.from({ length: sessions }, (_, n) => write(n))]
  await Promise.allSettled(work)
  const committed = (await Promise.all(work)).reduce((sum, count) => sum + count)
  console.log(`${committed} transactions during the load`)
  assert.ok(committed > 50)
  await pipeline.assertEqual()
})

function changeOfMany(random: Random): string {
  const id = random.integer(1, manyRows)
  const some = `id BETWEEN ${id} AND ${id + random.integer(0, 50)}`
  return random.pick([
    `UPDATE public.many SET n = n + 1 WHERE ${some}`,
    `UPDATE public.many SET t = repeat('moved ', 100) WHERE ${some}`,
    `UPDATE public.many SET id = id + ${manyRows} WHERE ${some} AND NOT EXISTS (SELECT FROM public.many WHERE id > ${manyRows + id - 1} AND id < ${manyRows + id + 60})`,
    `DELETE FROM public.many WHERE ${some}`,
    `INSERT INTO public.many VALUES (${id}, 0, 'again') ON CONFLICT (id) DO UPDATE SET t = NULL`,
  ])
}

test('the history has the rows of a table at any past instant, even when the consumer is killed meanwhile', async () => {
  const random = new Random(seed, 'history')
  const tables = { 'public.logged': { history: true, partitionKey: ['part'] } }
  await using pipeline = await startPipeline(services, { setup: loggedTable, tables })
  const client = await pipeline.connect()
  const log = new HistoryLog(pipeline)
  for (let burst = 0; burst < times(1); burst++) {
    for (let count = 1; count <= transactions; count++) {
      await log.note()
      await runTransaction(client, random, () => randomLoggedStatement(random))
      if (count % 25 > 0) continue
      await pipeline.consumer.kill()
      pipeline.start()
    }
    await log.note()
    await log.assertEqual()
    await pipeline.assertEqual()
  }
})

test('tables and reports are equal after random edits of orders, items, customers and territories', async () => {
  const random = new Random(seed, 'sales')
  const reportTimeZone = random.pick(['UTC', 'Europe/Berlin', 'America/St_Johns'])
  console.log(`reports in ${reportTimeZone}`)
  await using pipeline = await startPipeline(services, {
    start: false,
    tables: salesTables,
    settings: { model: salesModel, reportTimeZone },
  })
  await applySchema(pipeline.psqlUrl, quietLog())
  await pipeline.sql(smallShop)
  pipeline.start()
  await pipeline.settle()
  await runBursts(pipeline, 'sales', randomSalesStatement)
  const { unchecked } = await pipeline.verify()
  assert.equal(unchecked, [])
})

test.run()
