// test/service/fold-exact.test: after any history, a folded aggregate equals its contributions over
// the rows, at each cut.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { Random } from '../../generator/shop/random.ts'
import type { Aggregate } from '../../modeling/aggregate.ts'
import { build } from '../../modeling/build.ts'
import { readDifference } from '../../modeling/difference.ts'
import { fold } from '../../modeling/fold.ts'
import { type Position, readMarkers } from '../../modeling/position.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { differences, FoldShop, type Moment, optimizeAll, readCells } from '../support/pipelines/fold-shop.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const signal = new AbortController().signal
const seed = testSeed()

let services: Servers
const clients: Clickhouse[] = []

const test = suite('folds', { timeoutMs: 120_000 })

test.before(async () => {
  services = await shareServers(['clickhouse'])
})

test.after(async () => {
  for (const client of clients) await client.close()
  await services?.stop()
})

interface World {
  readonly clickhouse: Clickhouse
  readonly shop: FoldShop
  readonly random: Random
  readonly aggregates: readonly Aggregate[]
}

async function openWorld(own: number): Promise<World> {
  const clickhouse = await createWarehouse(services, uniqueName('fold'))
  clients.push(clickhouse)
  const random = new Random(own, 'fold')
  const shop = new FoldShop(clickhouse, random)
  return { clickhouse, shop, random, aggregates: await shop.create() }
}

function plain(position: Position | undefined) {
  return position && { ...position, offsets: Object.fromEntries(position.offsets) }
}

/** The aggregate, its markers and its own comparison agree with the moment. */
async function assertAt({ clickhouse }: World, aggregate: Aggregate, { cut, expected }: Moment): Promise<void> {
  const found = await readCells(clickhouse, aggregate)
  assert.equal(differences(found, expected.get(aggregate.name)!), [], `${aggregate.name} of seed ${seed}`)
  const markers = await readMarkers(clickhouse, aggregate)
  const own = aggregate.sources.map(({ table }) => `${table.schema}.${table.name}`)
  const offsets = new Map([...cut.offsets].filter(([table]) => own.includes(table)))
  assert.equal(plain(markers), plain({ ...cut, offsets }))
  const difference = await readDifference(clickhouse, aggregate, { signal })
  assert.equal(difference?.cells, [])
}

for (let own = seed; own < seed + times(1); own++) {
  test(`folds to the newest change, after random histories (seed ${own})`, async () => {
    const world = await openWorld(own)
    const { clickhouse, shop, random, aggregates } = world
    for (const aggregate of aggregates) {
      assert.is(await readMarkers(clickhouse, aggregate), undefined)
      assert.is(await fold(clickhouse, aggregate, { cut: shop.moment().cut, signal }), undefined)
      await build(clickhouse, aggregate, { cut: shop.moment().cut, signal })
    }
    for (let round = 1; round <= 12; round++) {
      for (let batch = random.integer(1, 4); batch > 0; batch--) {
        shop.change(random.integer(1, 25))
        await shop.write()
      }
      const moment = shop.moment()
      for (const aggregate of aggregates) {
        const from = random.chance(0.5) ? await readMarkers(clickhouse, aggregate) : undefined
        await fold(clickhouse, aggregate, { cut: moment.cut, ...(from && { from }), signal })
        if (round % 2 === 0) await assertAt(world, aggregate, moment)
      }
      if (round % 5 === 0) {
        await optimizeAll(clickhouse, aggregates)
        for (const aggregate of aggregates) await assertAt(world, aggregate, shop.moment())
      }
    }
    assert.ok(shop.changes > 100)
  })

  test(`folds and builds to older cuts while later changes are there (seed ${own})`, async () => {
    const world = await openWorld(own + 1)
    const { clickhouse, shop, random, aggregates } = world
    const moments: Moment[] = [shop.moment()]
    const change = async () => {
      shop.change(random.integer(1, 30))
      await shop.write()
      moments.push(shop.moment())
    }
    for (let count = 0; count < 6; count++) await change()
    for (const aggregate of aggregates) await build(clickhouse, aggregate, { cut: moments[3]!.cut, signal })
    for (let at = 4; at < 15; at++) {
      await change()
      const moment = moments[at]!
      for (const aggregate of aggregates) {
        await fold(clickhouse, aggregate, { cut: moment.cut, signal })
        await assertAt(world, aggregate, moment)
        // An older cut changes nothing.
        await fold(clickhouse, aggregate, { cut: moments[at - 2]!.cut, signal })
      }
      if (at % 5 === 0) await optimizeAll(clickhouse, aggregates)
    }
    for (const aggregate of aggregates) await assertAt(world, aggregate, moments[14]!)
  })
}

test.run()
