// test/service/merge.test: what stands in several parts is merged where merging makes rows fewer, and nowhere else.
// May know: clickhouse/{client,merge}, consumer/{upkeep,watermark}, real ClickHouse.

import { setTimeout as pause } from 'node:timers/promises'
import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { mergeParts } from '../../clickhouse/merge.ts'
import { keepMerged } from '../../consumer/upkeep.ts'
import { watermarkStatements } from '../../consumer/watermark.ts'
import type { Log } from '../../runtime/log.ts'
import { createWarehouse } from '../support/clickhouse.ts'
import { uniqueName } from '../support/postgres.ts'
import { quietLog, type Servers, shareServers } from '../support/services.ts'
import { assert, suite, until } from '../support/suite.ts'

/** ClickHouse merges nothing of the table by itself; OPTIMIZE knows no such limit. */
const neverByItself = 'max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1'

const test = suite('merging')
let services: Servers
let clickhouse: Clickhouse

test.before(async () => {
  services = await shareServers(['clickhouse'])
  clickhouse = await createWarehouse(services, uniqueName('merged'))
})
test.before.each(async () => {
  for (const [name, engine] of [
    ['shop.orders.changelog', 'MergeTree'],
    ['shop.orders.current', 'ReplacingMergeTree'],
    ['sums', 'SummingMergeTree'],
  ]) {
    await clickhouse.command(`CREATE OR REPLACE TABLE \`${name}\` (id Int64, month UInt8, n Int64) ENGINE = ${engine} PARTITION BY month ORDER BY id
SETTINGS ${neverByItself}`)
    for (const month of [1, 1, 2, 2, 3])
      await clickhouse.command(`INSERT INTO \`${name}\` SELECT number, ${month}, 1 FROM numbers(10)`)
  }
})
test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

/** Parts of each table, by partition. */
async function parts(warehouse = clickhouse): Promise<Record<string, number[]>> {
  const rows = await warehouse.rows<{ name: string; parts: string[] }>(
    'SELECT table AS name, groupArray(n) AS parts FROM (SELECT table, partition, count() AS n FROM system.parts WHERE database = currentDatabase() AND active GROUP BY ALL ORDER BY ALL) GROUP BY table',
  )
  return Object.fromEntries(rows.map(({ name, parts }) => [name, parts.map(Number)]))
}

test('every partition of a table whose merges make rows fewer is one part afterwards, and the changelog is left alone', async () => {
  assert.equal((await parts()).sums, [2, 2, 1])
  await mergeParts(clickhouse, quietLog())
  assert.equal(await parts(), { 'shop.orders.changelog': [2, 2, 1], 'shop.orders.current': [1, 1, 1], sums: [1, 1, 1] })
  const [sum] = await clickhouse.rows<{ rows: string; n: string }>('SELECT count() AS rows, sum(n) AS n FROM sums')
  assert.equal(sum, { rows: '30', n: '50' })
})

test('what cannot be merged is said and left, the others are merged', async () => {
  await clickhouse.command('SYSTEM STOP MERGES sums')
  const warnings: unknown[] = []
  const log: Log = { ...quietLog(), warn: (_, fields) => void warnings.push(fields) }
  await mergeParts(clickhouse, log)
  assert.equal(await parts(), { 'shop.orders.changelog': [2, 2, 1], 'shop.orders.current': [1, 1, 1], sums: [2, 2, 1] })
  assert.equal(
    warnings.map(warning => (warning as { table: string }).table),
    ['sums', 'sums'],
  )
  await clickhouse.command('SYSTEM START MERGES sums')
})

test('what has grown by a quarter is merged in passing, once something is visible; what has not is left', async () => {
  const database = uniqueName('upkeep')
  const own = await createWarehouse(services, database)
  for (const sql of watermarkStatements) await own.command(sql)
  await own.command(`CREATE TABLE sums (id Int64, month UInt8, n Int64) ENGINE = SummingMergeTree PARTITION BY month ORDER BY id
SETTINGS ${neverByItself}`)
  const insert = (month: number, rows: number) =>
    own.command(`INSERT INTO sums SELECT number, ${month}, 1 FROM numbers(${rows})`)
  for (const [month, largest, other] of [
    [1, 1_000_000, 260_000],
    [2, 1_000_000, 240_000],
    [3, 20, 10],
  ] as const) {
    await insert(month, largest)
    await insert(month, other)
  }
  const looksEveryMs = 20
  let isOurs = false
  const tenLooks = () => pause(10 * looksEveryMs)
  const account = { url: own.url, user: 'default', password: '' }
  const stop = keepMerged(connectClickhouse({ ...account, database }), {
    log: quietLog(),
    isOurs: () => isOurs,
    everyMs: looksEveryMs,
  })
  await tenLooks()
  assert.equal((await parts(own)).sums, [2, 2, 2])
  await own.command('INSERT INTO watermark (lsn, commit_time) VALUES (1, now())')
  await tenLooks()
  assert.equal((await parts(own)).sums, [2, 2, 2], 'another member looks')
  isOurs = true
  await until(async () => (await parts(own)).sums![0] === 1, { what: 'the first month is one part' })
  await tenLooks()
  assert.equal((await parts(own)).sums, [1, 2, 2])
  await stop()
  await insert(1, 300_000)
  await tenLooks()
  assert.equal((await parts(own)).sums, [2, 2, 2])
  await own.close()
})

test.run()
