// test/e2e/producer-crash: kill -9 of the producer during the load and during streaming; the topics
// hold every change once.
// `TEST_SEED` repeats a run.

import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'
import { Random } from '../../generator/shop/random.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { applyRecords, type CaptureRun, checkOrder, prepareCapture } from '../support/pipelines/capture-run.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const kills = times(3)
const seed = testSeed()
const test = suite('producer-crash', { timeoutMs: 120_000 + kills * 15_000 })
let services: Servers
test.before(async () => {
  services = await shareServers(['postgres', 'kafka'])
})
test.after(() => services.stop())

const create = `
CREATE TABLE accounts (id bigint PRIMARY KEY, branch int NOT NULL, balance numeric(12,2) NOT NULL, note text);
ALTER TABLE accounts REPLICA IDENTITY FULL`
const tables = { 'public.accounts': { partitionKey: ['branch'], partitions: 4 } }

/**
 * Statements that move money between rows, move rows between partitions, and create and delete
 * rows. The sum stays.
 */
function statement(random: Random): string {
  const [a, b] = [random.integer(1, 500), random.integer(1, 500)]
  return random.pick([
    `UPDATE accounts SET balance = balance + CASE id WHEN ${a} THEN 1 ELSE -1 END WHERE id IN (${a}, ${b}) AND ${a} <> ${b}
       AND (SELECT count(*) FROM accounts WHERE id IN (${a}, ${b})) = 2`,
    `UPDATE accounts SET branch = branch + 1 WHERE id BETWEEN ${a} AND ${a} + 5`,
    `UPDATE accounts SET id = id + 1000 WHERE id = ${a} AND NOT EXISTS (SELECT FROM accounts WHERE id = ${a} + 1000)`,
    `DELETE FROM accounts WHERE id = ${a} AND balance = 0`,
    `INSERT INTO accounts SELECT ${a}, ${b}, 0, repeat('x', ${b}) WHERE NOT EXISTS (SELECT FROM accounts WHERE id = ${a}) ON CONFLICT DO NOTHING`,
    `UPDATE accounts SET note = note || 'y' WHERE id % 50 = ${a % 50}`,
  ])
}

async function load(client: pg.Client, random: Random, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const statements = Array.from({ length: random.integer(1, 6) }, () => statement(random))
    const end = random.chance(0.9) ? 'COMMIT' : 'ROLLBACK'
    await client.query(`BEGIN; ${statements.join('; ')}; ${end}`).catch((error: pg.DatabaseError) => {
      // Expected failures: duplicate keys and deadlocks.
      if (!['23505', '40P01'].includes(error.code ?? '')) throw error
      return client.query('ROLLBACK')
    })
  }
}

async function assertYieldsRows(run: CaptureRun, generation: number): Promise<void> {
  const records = await run.records(await run.table('accounts', generation), generation)
  checkOrder(records)
  const rows = await run.printed('SELECT * FROM public.accounts ORDER BY id')
  const rowsOfTopic = [...applyRecords(records).values()].sort((a, b) => Number(a.id) - Number(b.id))
  assert.equal(JSON.stringify(rowsOfTopic), JSON.stringify(rows))
}

test(`the topics hold every change once after ${kills} kills while four sessions write`, async () => {
  const setup = `${create}; INSERT INTO accounts SELECT i, i % 20, 100, 'n' FROM generate_series(1, 400) i`
  await using run = await prepareCapture(services, { setup, tables })
  const random = new Random(seed, 'kills')
  run.worker.supervised = true
  run.worker.start()
  await run.settle()
  const stop = new AbortController()
  const sessions = await Promise.all(['a', 'b', 'c', 'd'].map(() => run.database.connect()))
  const writing = Promise.all(
    sessions.map((client, index) => load(client, new Random(seed, `session ${index}`), stop.signal)),
  )
  for (let kill = 1; kill <= kills; kill++) {
    const before = (await run.status())?.records ?? 0
    const works = async () => ((await run.status())?.records ?? 0) > (kill === 1 ? before : 0)
    await until(works, { what: `records are written before kill ${kill}`, timeoutMs: 60_000 })
    await pause(random.integer(0, 800))
    await run.worker.kill()
  }
  stop.abort()
  await writing
  await run.settle(120_000)
  await assertYieldsRows(run, 1)
})

test('a killed load is removed as a whole and done again', async () => {
  const setup = `${create}; INSERT INTO accounts SELECT i, i % 20, 100, repeat('n', 100) FROM generate_series(1, 150000) i`
  await using run = await prepareCapture(services, { setup, tables })
  run.worker.start()
  await until(async () => (await run.status())?.phase === 'loading', { what: 'the load begins', timeoutMs: 60_000 })
  await run.worker.kill()
  assert.equal(
    (await run.generations()).map(({ number, state }) => [number, state]),
    [[1, 'loading']],
  )
  await run.sql("UPDATE accounts SET note = 'changed' WHERE id <= 10")
  run.worker.start()
  await run.settle(120_000)
  assert.equal(
    (await run.generations()).map(({ number, state }) => [number, state]),
    [
      [1, 'abandoned'],
      [2, 'live'],
    ],
  )
  await assertYieldsRows(run, 2)
  const slots = await run.sql(
    `SELECT slot_name::text AS name FROM pg_replication_slots WHERE slot_name LIKE '${run.name}%'`,
  )
  assert.equal(
    slots.map(({ name }) => name),
    [`${run.name}_2`],
  )
})

test.run()
