// test/service/fold-build.test: an aggregate is built while changes flow, again after an
// interruption, and beside the old one; two folds at once count once.

import { setTimeout as delay } from 'node:timers/promises'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { Random } from '../../generator/shop/random.ts'
import type { Aggregate } from '../../modeling/aggregate.ts'
import { build, buildStatements } from '../../modeling/build.ts'
import { readDifference } from '../../modeling/difference.ts'
import { fold, foldStatement } from '../../modeling/fold.ts'
import { foldSettings } from '../../modeling/one-at-a-time.ts'
import { type Position, readMarkers } from '../../modeling/position.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { differences, FoldShop, type Moment, readCells } from '../support/pipelines/fold-shop.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const signal = new AbortController().signal
const random = new Random(testSeed(), 'build')

let services: Servers
let database: string
let clickhouse: Clickhouse
let shop: FoldShop
let cells: Aggregate

const test = suite('builds and concurrent folds', { timeoutMs: 60_000 })

test.before(async () => {
  services = await shareServers(['clickhouse'])
  database = uniqueName('build')
  clickhouse = await createWarehouse(services, database)
  shop = new FoldShop(clickhouse, random)
  const aggregates = await shop.create()
  cells = aggregates.find(({ name }) => name === 'cells')!
})

test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

/** A cut with later changes behind it, which are inserted too. */
async function cutAmongChanges(): Promise<Moment> {
  shop.change(150)
  await shop.write()
  const moment = shop.moment()
  shop.change(60)
  await shop.write()
  return moment
}

async function assertAt({ cut, expected }: Moment): Promise<void> {
  assert.equal(differences(await readCells(clickhouse, cells), expected.get('cells')!), [])
  assert.is((await readMarkers(clickhouse, cells))!.lsn, cut.lsn)
}

test('a build in slices equals the state at its cut, and folds go on from it', async () => {
  const moment = await cutAmongChanges()
  await build(clickhouse, cells, { cut: moment.cut, signal, sliceRows: 25 })
  await assertAt(moment)
  const later = shop.moment()
  await fold(clickhouse, cells, { cut: later.cut, signal })
  await assertAt(later)
})

test('a build beside the aggregate shows the old one until it is complete', async () => {
  const before = shop.moment()
  const moment = await cutAmongChanges()
  const building = build(clickhouse, cells, { cut: moment.cut, signal, beside: true, sliceRows: 10 })
  let reads = 0
  let isOver = false
  const watched = building.finally(() => {
    isOver = true
  })
  while (!isOver) {
    const found = await readCells(clickhouse, cells)
    const wrong = [before, moment].map(({ expected }) => differences(found, expected.get('cells')!))
    assert.ok(
      wrong.some(list => list.length === 0),
      wrong[0]!.join('\n'),
    )
    reads++
  }
  await watched
  assert.ok(reads > 3)
  await assertAt(moment)
  assert.equal(
    await clickhouse.rows(`SELECT name FROM system.tables WHERE database = '${database}' AND name LIKE '%.next'`),
    [],
  )
})

test('an interrupted build is noticed, and begun again', async () => {
  const moment = await cutAmongChanges()
  for (let stop = 1; stop <= 3; stop++) {
    await clickhouse.command('TRUNCATE TABLE cells')
    const statements = buildStatements(cells, { cut: moment.cut, slices: ['order_id < 20', 'order_id >= 20'] })
    for (const statement of statements.slice(0, stop)) await clickhouse.command(statement, foldSettings)
    assert.is(await readMarkers(clickhouse, cells), undefined)
    assert.is(await fold(clickhouse, cells, { cut: moment.cut, signal }), undefined)
    assert.is(await readDifference(clickhouse, cells, { signal }), undefined)
    // Neither the interrupted build goes on after another one began, nor is a slice repeated.
    await assert.rejects(() => clickhouse.command(statements[stop - 1]!, foldSettings), /the markers of the aggregate/)
    await build(clickhouse, cells, { cut: moment.cut, signal })
    for (const statement of statements)
      await assert.rejects(() => clickhouse.command(statement, foldSettings), /the markers of the aggregate/)
    await assertAt(moment)
  }
})

test('a guard that fails keeps folds and builds from writing', async () => {
  await clickhouse.command('CREATE TABLE epochs (place UInt64, epoch String) ENGINE = Memory')
  await clickhouse.command("INSERT INTO epochs VALUES (1, 'mine')")
  const guard = "(SELECT throwIf(argMax(epoch, place) != 'mine', 'fenced') FROM epochs)"
  const moment = shop.moment()
  await fold(clickhouse, cells, { cut: moment.cut, guard, signal })
  await assertAt(moment)
  await clickhouse.command("INSERT INTO epochs VALUES (2, 'of another member')")
  const { cut } = await cutAmongChanges()
  await assert.rejects(() => fold(clickhouse, cells, { cut, guard, signal }), /fenced/)
  await assertAt(moment)
  await assert.rejects(() => build(clickhouse, cells, { cut, guard, beside: true, signal }), /fenced/)
  await assertAt(moment)
})

async function writtenCut(): Promise<Position> {
  shop.change(40)
  await shop.write()
  return shop.moment().cut
}

test('of two folds at once, one counts', async () => {
  const rounds = 6 * times(1)
  for (let round = 0; round < rounds; round++) {
    const cut = await writtenCut()
    const from = (await readMarkers(clickhouse, cells))!
    await Promise.all([1, 2, 3].map(() => fold(clickhouse, cells, { cut, from, signal })))
    await assertAt(shop.moment())
  }
})

test('a fold whose client gave up, and which is sent again at once, counts once', async () => {
  for (let round = 0; round < 6; round++) {
    const cut = await writtenCut()
    const from = (await readMarkers(clickhouse, cells))!
    const lost = foldStatement(cells, { from, cut })
    const address = new URL(services.endpoints.clickhouse!)
    const settings = { ...foldSettings, database, query_id: `fold-${database}-cells` }
    for (const [name, value] of Object.entries(settings)) address.searchParams.set(name, String(value))
    const gone = new AbortController()
    const sent = fetch(address, { method: 'POST', body: lost, signal: gone.signal }).catch(() => undefined)
    await delay(random.integer(0, 60))
    gone.abort()
    await fold(clickhouse, cells, { cut, from, signal })
    await sent
    await assertAt(shop.moment())
  }
})

/** Both see the same markers, and neither sees the other's rows. */
test('without the common query id, two folds at once count twice', async () => {
  let doubled = 0
  for (let round = 0; round < 20 && doubled === 0; round++) {
    const cut = await writtenCut()
    const from = (await readMarkers(clickhouse, cells))!
    const sql = foldStatement(cells, { from, cut })
    const settings = { ...foldSettings, merge_tree_storage_snapshot_sleep_ms: '20' }
    const sent = await Promise.allSettled([1, 2].map(() => clickhouse.command(sql, settings)))
    if (sent.every(({ status }) => status === 'fulfilled')) doubled++
  }
  assert.is(doubled, 1)
  assert.ok(differences(await readCells(clickhouse, cells), shop.moment().expected.get('cells')!).length > 0)
})

test('a fold is one part, however large it is', async () => {
  await clickhouse.command(`CREATE TABLE wide AS ${quoteName(cells.name)}`)
  await clickhouse.command(`INSERT INTO wide (product, orders) SELECT number, 1 FROM numbers(2500000)`, {
    ...foldSettings,
    max_threads: 2,
    max_block_size: '65536',
  })
  const parts = await clickhouse.rows(
    `SELECT name FROM system.parts WHERE database = '${database}' AND table = 'wide' AND active`,
  )
  assert.is(parts.length, 1)
})

test.run()
