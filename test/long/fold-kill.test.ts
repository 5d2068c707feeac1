// test/long/fold-kill.test: ClickHouse is killed in the middle of folds and inserts. A fold is
// there with its markers or not at all, and the next folds make the aggregate right.

import { setTimeout as delay } from 'node:timers/promises'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { changelogName, currentName, currentSelect } from '../../clickhouse/ddl.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { Random } from '../../generator/shop/random.ts'
import type { Aggregate } from '../../modeling/aggregate.ts'
import { build } from '../../modeling/build.ts'
import { readDifference } from '../../modeling/difference.ts'
import { fold } from '../../modeling/fold.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { items, orders } from '../support/pipelines/fold-model.ts'
import { differences, FoldShop, optimizeAll, readCells } from '../support/pipelines/fold-shop.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const signal = new AbortController().signal
const kills = 12 * times(1)
const random = new Random(testSeed(), 'kill')

let services: Services
let clickhouse: Clickhouse
let shop: FoldShop
let cells: Aggregate

const test = suite('kill -9 in folds', { timeoutMs: 60_000 * kills })

test.before(async () => {
  services = await startServices(['clickhouse'])
  clickhouse = await createWarehouse(services, uniqueName('kill'))
  shop = new FoldShop(clickhouse, random)
  const aggregates = await shop.create()
  cells = aggregates.find(({ name }) => name === 'cells')!
  await build(clickhouse, cells, { cut: shop.moment().cut, signal })
})

test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

/** The pipeline inserts lost records again, and completes current states, before anything folds. */
async function recover(): Promise<void> {
  for (const table of [orders, items]) {
    await shop.writeMissing(table)
    await clickhouse.command(`INSERT INTO ${quoteName(currentName(table))} ${currentSelect(table, '')}`, {
      insert_deduplicate: 0,
    })
    const [row] = await clickhouse.rows<{ n: string }>(`SELECT count() AS n FROM ${quoteName(changelogName(table))}`)
    assert.is(Number(row!.n), shop.imagesOf(table))
  }
}

test('no kill leaves a part of a fold', async () => {
  let lost = 0
  let foldMs = 150
  for (let round = 0; round < kills; round++) {
    shop.change(200)
    await shop.write()
    const before = shop.moment()
    const inMiddle = fold(clickhouse, cells, { cut: before.cut, signal }).then(
      () => true,
      () => false,
    )
    shop.change(30)
    // The image of an insert that the kill interrupts is inserted again by the recovery.
    const inserted = random.chance(0.5)
      ? shop.write().catch(() => undefined)
      : shop.write(orders).catch(() => undefined)
    await delay(random.integer(0, 2 * foldMs))
    await services.kill('clickhouse')
    const isKnown = await inMiddle
    await inserted
    await services.restart()
    await until(async () => (await clickhouse.rows('SELECT 1').catch(() => [])).length === 1, {
      what: 'ClickHouse answers',
    })
    await recover()
    // Whatever the outcome, the cells fit to the markers.
    const difference = await readDifference(clickhouse, cells, { signal })
    assert.equal(difference!.cells, [], `round ${round}`)
    if (difference!.at.lsn < before.cut.lsn) lost++
    assert.ok(!isKnown || difference!.at.lsn === before.cut.lsn, 'an acknowledged fold is gone')
    const last = shop.moment()
    const start = performance.now()
    await fold(clickhouse, cells, { cut: last.cut, signal })
    foldMs = Math.round(performance.now() - start)
    assert.equal(differences(await readCells(clickhouse, cells), last.expected.get('cells')!), [], `round ${round}`)
    if (round % 4 === 3) await optimizeAll(clickhouse, [cells])
  }
  assert.ok(lost < kills, 'every kill came before the end of the fold')
  console.log(`${lost} of ${kills} folds were lost`)
})

test.run()
