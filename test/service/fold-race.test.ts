// test/service/fold-race.test: folds are exact while writers insert, and readers see whole folds.
// Every snapshot of a table is delayed, so that insertions come between two snapshots of one query.

import { setTimeout as delay } from 'node:timers/promises'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { Random } from '../../generator/shop/random.ts'
import type { Aggregate } from '../../modeling/aggregate.ts'
import { build } from '../../modeling/build.ts'
import { readDifference } from '../../modeling/difference.ts'
import { fold, foldStatement } from '../../modeling/fold.ts'
import { foldSettings } from '../../modeling/one-at-a-time.ts'
import { readMarkers } from '../../modeling/position.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { items, orders } from '../support/pipelines/fold-model.ts'
import { differences, FoldShop, optimizeAll, readCells } from '../support/pipelines/fold-shop.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const signal = new AbortController().signal
const seed = testSeed()
const enough = 15 * times(1)
/** Of each race, on a machine that does other work too. */
const longestMs = 40_000 * times(1)

let services: Servers
const clients: Clickhouse[] = []

const test = suite('folds beside writers', { timeoutMs: 60_000 + longestMs })

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
  readonly cells: Aggregate
}

async function openWorld(purpose: string, snapshotMs: number): Promise<World> {
  const clickhouse = withDelays(await createWarehouse(services, uniqueName('race')), snapshotMs)
  clients.push(clickhouse)
  const random = new Random(seed, purpose)
  const shop = new FoldShop(clickhouse, random)
  const aggregates = await shop.create()
  const cells = aggregates.find(({ name }) => name === 'cells')!
  shop.markWritten()
  await build(clickhouse, cells, { cut: shop.written, signal })
  return { clickhouse, shop, random, cells }
}

/** Folds and comparisons take each snapshot a little later than they could. */
function withDelays(clickhouse: Clickhouse, snapshotMs: number): Clickhouse {
  const delayed = { merge_tree_storage_snapshot_sleep_ms: String(snapshotMs) }
  return {
    ...clickhouse,
    rows: (sql, parameters, settings) => clickhouse.rows(sql, parameters, { ...settings, ...delayed }),
    command: (sql, settings, queryId) => clickhouse.command(sql, { ...settings, ...delayed }, queryId),
  }
}

interface Race {
  readonly folds: number
  readonly comparisons: number
  /** Comparisons that found a difference. */
  readonly wrong: readonly string[]
}

/**
 * Both tables are written in parallel while folds and comparisons run. The cut of a fold is what
 * was written when it began.
 */
async function race(
  { clickhouse, shop, random, cells }: World,
  advance: () => Promise<void>,
  most: number,
): Promise<Race> {
  const end = performance.now() + longestMs
  let [folds, comparisons] = [0, 0]
  const wrong: string[] = []
  const isOver = () => performance.now() >= end || wrong.length > 0 || (folds >= most && comparisons >= most)
  const write = async () => {
    while (!isOver()) {
      shop.change(random.integer(1, 12))
      await Promise.all([shop.write(orders), shop.write(items)])
      shop.markWritten()
      await delay(random.integer(0, 15))
    }
  }
  const foldOn = async () => {
    while (!isOver()) {
      await advance()
      folds++
    }
  }
  const compare = async () => {
    while (!isOver()) {
      const difference = await readDifference(clickhouse, cells, { signal, limit: 2 })
      if (difference!.cells.length > 0) wrong.push(JSON.stringify(difference!.cells))
      comparisons++
    }
  }
  const merge = async () => {
    while (!isOver()) {
      await optimizeAll(clickhouse, [cells])
      await delay(400)
    }
  }
  await Promise.all([write(), foldOn(), compare(), compare(), merge()])
  return { folds, comparisons, wrong }
}

test('folds and comparisons are exact beside two writers', async () => {
  const world = await openWorld('race', 8)
  const { clickhouse, shop, cells } = world
  const advance = async () => {
    await fold(clickhouse, cells, { cut: shop.written, signal })
  }
  const { folds, comparisons, wrong } = await race(world, advance, enough)
  assert.equal(wrong, [])
  assert.ok(folds > 2 && comparisons > 2, `${folds} folds, ${comparisons} comparisons`)
  const last = shop.moment()
  await fold(clickhouse, cells, { cut: last.cut, signal })
  assert.equal(differences(await readCells(clickhouse, cells), last.expected.get('cells')!), [])
})

/** This test shows that the one above can fail. */
test('with the changelogs before the current states, a fold becomes wrong', async () => {
  const world = await openWorld('control', 20)
  const { clickhouse, shop, cells } = world
  const advance = async () => {
    const from = (await readMarkers(clickhouse, cells))!
    const sql = foldStatement(cells, { from, cut: shop.written })
    const [currents] = /(?:\nUNION ALL SELECT [^\n]* FROM `shop\.\w+\.current` WHERE 0)+/.exec(sql) ?? []
    const changelogs = currents?.replaceAll('.current`', '.changelog`') ?? ''
    await clickhouse.command(sql.replaceAll(currents ?? 'none', changelogs), foldSettings)
  }
  const { wrong } = await race(world, advance, Number.POSITIVE_INFINITY)
  const last = shop.moment()
  await fold(clickhouse, cells, { cut: last.cut, signal })
  const left = differences(await readCells(clickhouse, cells), last.expected.get('cells')!)
  assert.ok(wrong.length > 0 || left.length > 0)
})

test.run()
