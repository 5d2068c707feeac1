// test/service/merge.test: parts are merged in tables where merging reduces rows, and old
// tombstones are removed.

import { setTimeout as pause } from 'node:timers/promises'
import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { tableStatements } from '../../clickhouse/ddl.ts'
import { insertSettings } from '../../clickhouse/insert.ts'
import { mergeParts } from '../../clickhouse/merge.ts'
import { removeTombstones, type TombstoneBounds } from '../../clickhouse/tombstones.ts'
import { scheduleMerges } from '../../consumer/warehouse/merge-schedule.ts'
import { watermarkStatements } from '../../consumer/warehouse/watermark.ts'
import type { Table } from '../../contract/table.ts'
import type { Log } from '../../runtime/log.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

/** ClickHouse merges nothing of this table by itself; OPTIMIZE has no such limit. */
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

/** Number of parts of each table, by partition. */
async function parts(warehouse = clickhouse): Promise<Record<string, number[]>> {
  const rows = await warehouse.rows<{ name: string; parts: string[] }>(
    'SELECT table AS name, groupArray(n) AS parts FROM (SELECT table, partition, count() AS n FROM system.parts WHERE database = currentDatabase() AND active GROUP BY ALL ORDER BY ALL) GROUP BY table',
  )
  return Object.fromEntries(rows.map(({ name, parts }) => [name, parts.map(Number)]))
}

test('every partition of a table whose merges reduce rows is one part afterwards; the changelog is left alone', async () => {
  assert.equal((await parts()).sums, [2, 2, 1])
  await mergeParts(clickhouse, quietLog())
  assert.equal(await parts(), { 'shop.orders.changelog': [2, 2, 1], 'shop.orders.current': [1, 1, 1], sums: [1, 1, 1] })
  const [sum] = await clickhouse.rows<{ rows: string; n: string }>('SELECT count() AS rows, sum(n) AS n FROM sums')
  assert.equal(sum, { rows: '30', n: '50' })
})

test('a table that cannot be merged is reported and skipped; the others are merged', async () => {
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

test('tables that have grown by a quarter are merged in the background once rows are visible; others are not', async () => {
  const database = uniqueName('merges')
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
  const stop = scheduleMerges(connectClickhouse({ ...account, database }), {
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

const visits: Table = {
  schema: 'shop',
  name: 'visits',
  columns: [{ name: 'id', encoding: 'long', pgType: 'bigint', nullable: false }],
  key: ['id'],
  partitionKey: ['id'],
}

interface Images {
  readonly sign: 1 | -1
  readonly lsn: number
  readonly from: number
  readonly to: number
  readonly partition?: number
}

/**
 * A database with the tables of `visits`, and a function that inserts images of it, as the consumer
 * does.
 */
async function visitsWarehouse() {
  const database = uniqueName('tombstones')
  const own = await createWarehouse(services, database)
  for (const sql of [...watermarkStatements, ...tableStatements(visits)]) await own.command(sql)
  const insert = ({ sign, lsn, from, to, partition = 0 }: Images) =>
    own.command(
      `INSERT INTO \`shop.visits.changelog\` SELECT number, ${sign}, if(${sign} > 0, 'c', 'd'), ${lsn}, number,
  bitShiftLeft(toUInt128(${lsn}), 64) + number, ${partition}, ${lsn} * 1000000 + number, now64(6) FROM numbers(${from}, ${to - from})`,
      insertSettings(to - from),
    )
  const merge = () => own.command('OPTIMIZE TABLE `shop.visits.current` FINAL')
  const rowCounts = async () => {
    const [row] = await own.rows<Record<string, string>>(
      'SELECT count() AS rows, countIf(_deleted) AS tombstones, (SELECT count() FROM `shop.visits`) AS live FROM `shop.visits.current`',
    )
    return Object.values(row!).map(Number)
  }
  return { database, own, insert, merge, held: rowCounts }
}

test('old tombstones are removed in the background, and their keys can come again', async () => {
  const { database, own, insert, merge, held: rowCounts } = await visitsWarehouse()
  const created: Images = { sign: 1, lsn: 1, from: 0, to: 300_000 }
  const old: Images = { sign: -1, lsn: 2, from: 0, to: 260_000 }
  const young: Images = { sign: -1, lsn: 5, from: 260_000, to: 260_100 }
  // The newest row of its partition is an old tombstone.
  const elsewhere: Images[] = [1, -1].map((sign, index) => {
    return { sign: sign as 1 | -1, lsn: 1 + index, from: 300_000, to: 300_050, partition: 1 }
  })
  for (const images of [created, old, young, ...elsewhere]) await insert(images)
  await merge()
  assert.equal(await rowCounts(), [300_050, 260_150, 39_900])
  const makeVisible = (lsn: number) =>
    own.command(
      `INSERT INTO watermark (lsn, commit_time, visible_at) VALUES (${lsn}, now(), now() + INTERVAL 2 SECOND)`,
    )
  await makeVisible(4)
  const account = { url: own.url, user: 'default', password: '' }
  const stop = scheduleMerges(connectClickhouse({ ...account, database }), {
    ...{ log: quietLog(), isOurs: () => true, everyMs: 20, tombstoneMs: 200 },
  })
  await until(async () => (await rowCounts())[0]! < 300_000, { what: 'tombstones are removed' })
  await stop()
  assert.equal(await rowCounts(), [40_001, 101, 39_900])
  await insert({ sign: 1, lsn: 6, from: 0, to: 10 })
  assert.is((await rowCounts())[2], 39_910)
  await own.close()
})

test('tombstones stay while an older image is in another part, while they or their part are new, and when they are few', async () => {
  const { own, insert, merge, held: rowCounts } = await visitsWarehouse()
  const options = { log: quietLog(), signal: new AbortController().signal }
  const remove = async (bounds: Partial<TombstoneBounds> = {}) => {
    await removeTombstones(own, { below: '10', writtenBefore: '2100-01-01 00:00:00', ...bounds }, options)
    return (await rowCounts())[1]
  }
  await own.command('SYSTEM STOP MERGES `shop.visits.current`')
  await insert({ sign: 1, lsn: 1, from: 0, to: 1_100_000 })
  await insert({ sign: -1, lsn: 2, from: 0, to: 290_000 })
  assert.is(await remove(), 290_000)
  await own.command('SYSTEM START MERGES `shop.visits.current`')
  await merge()
  assert.is(await remove({ writtenBefore: '2020-01-01 00:00:00' }), 290_000)
  assert.is(await remove({ below: '2' }), 290_000)
  // An older image of a deleted key, as a repaired insert writes it.
  await own.command('INSERT INTO `shop.visits.current` VALUES (7, 0, bitShiftLeft(toUInt128(1), 64) + 7, 0)')
  assert.is(await remove(), 290_000)
  await insert({ sign: 1, lsn: 3, from: 0, to: 20_000 })
  await merge()
  assert.is(await remove(), 270_000)
  await insert({ sign: -1, lsn: 4, from: 0, to: 20_000 })
  await merge()
  assert.is(await remove(), 1)
  assert.equal(await rowCounts(), [810_001, 1, 810_000])
  await own.close()
})

test.run()
