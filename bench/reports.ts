// bench/reports: how long each report takes, and what folding scattered updates costs, on a shop and on one ten times its size.
// Both shops stand side by side and are measured by turns.

import { randomUUID } from 'node:crypto'
import { publish } from '../clickhouse/publish.ts'
import { loadModel } from '../modeling/model.ts'
import { packagePath } from '../runtime/files.ts'
import { openBenchStack } from './pipeline.ts'
import { current, fillSource, insertImages, loadShop, type Multiplied, type Shop, tables, untilQuiet } from './shop.ts'

/** Beside the shop that came through the pipe. */
const copies = { at_1m: 0, at_10m: 9 } as const
type Size = keyof typeof copies
type AtBothSizes = Readonly<Record<Size, number>>
type Shops = Readonly<Record<Size, Shop>>

export interface ReportsResult {
  /** Rows that stand behind the figures. */
  readonly orders: AtBothSizes
  readonly order_items: AtBothSizes
  /** Milliseconds that `SELECT *` takes, the median of several, all views of `analytics`. */
  readonly reports_ms: Readonly<Record<string, AtBothSizes>>
  /** Milliseconds that an insert of 1,000 scattered updates takes, all views of the model included, the median of several. */
  readonly fold_ms: { readonly orders: AtBothSizes; readonly order_items: AtBothSizes }
}

const scattered = 1000
const repetitions = { reports: 7, folds: 21 }

/** The next step in an order's life, and another quantity of an item: every one of these updates moves sums. */
const updates = {
  'shop.orders': [
    'status',
    `multiIf(status = 'created', 'paid', status = 'paid', 'shipped', status = 'shipped', 'delivered', status = 'delivered', 'returned', 'delivered')`,
  ],
  'shop.order_items': ['quantity', 'quantity % 3 + 1'],
} as const

export async function measureReports(): Promise<ReportsResult> {
  const stack = await openBenchStack()
  try {
    await fillSource(stack)
    const shops = {
      at_1m: await loadShop(stack, 'one', copies.at_1m),
      at_10m: await loadShop(stack, 'ten', copies.at_10m),
    }
    await untilQuiet(stack)
    const result = {
      orders: await rowsOf(shops, 'shop.orders'),
      order_items: await rowsOf(shops, 'shop.order_items'),
      reports_ms: await timeReports(shops),
      fold_ms: {
        orders: await timeFolds(shops, 'shop.orders'),
        order_items: await timeFolds(shops, 'shop.order_items'),
      },
    }
    for (const { clickhouse } of Object.values(shops)) await clickhouse.close()
    return result
  } finally {
    await stack.close()
  }
}

async function rowsOf(shops: Shops, table: Multiplied): Promise<AtBothSizes> {
  return inTurns(shops, 1, async ({ clickhouse }) => {
    const [row] = await clickhouse.rows<{ n: string }>(`SELECT count() AS n FROM \`${table}\``)
    return Number(row!.n)
  })
}

/** Each view as analysts read it, published under names of its shop. */
async function timeReports(shops: Shops): Promise<ReportsResult['reports_ms']> {
  const views = loadModel(packagePath('model/sales'), 'UTC').publish.filter(({ database }) => database === 'analytics')
  const published = ({ database }: Shop) => `${database}_analytics`
  for (const shop of Object.values(shops)) {
    const own = views.map(view => ({ ...view, database: published(shop) }))
    const publisher = { pipeline: shop.database, kafkaCluster: 'none' }
    await publish(shop.clickhouse, { generation: shop.database, views: own, publisher })
  }
  const taken: Record<string, AtBothSizes> = {}
  for (const { name } of views) {
    taken[name] = await inTurns(shops, repetitions.reports, shop =>
      timed(() => shop.clickhouse.command(`SELECT * FROM ${published(shop)}.${name} FORMAT Null`)),
    )
  }
  return taken
}

/** Updates of rows that lie far from each other, as the consumer would insert them: one statement with both images of each. */
async function timeFolds(shops: Shops, table: keyof typeof updates): Promise<AtBothSizes> {
  const [column, value] = updates[table]
  const [key] = tables[table]
  const images = `SELECT * EXCEPT _sign REPLACE (if(_sign > 0, ${value}, ${column}) AS ${column}, _version + 1 AS _version), _sign
FROM (SELECT *, toInt8(arrayJoin([-1, 1])) AS _sign FROM bench_rows)`
  return inTurns(shops, repetitions.folds, async ({ clickhouse }) => {
    await clickhouse.command(`CREATE OR REPLACE TABLE bench_rows ENGINE = Memory AS
SELECT * EXCEPT _deleted FROM ${current(table)} FINAL ORDER BY cityHash64(${key}, '${randomUUID()}') LIMIT ${scattered}`)
    // What is compared is the work at both sizes, not how much of the larger shop the kernel still has in its page cache.
    for (const read of Object.keys(updates) as Multiplied[]) {
      await clickhouse.command(`SELECT * FROM ${current(read)} FORMAT Null`)
    }
    return timed(() => insertImages(clickhouse, table, images, scattered))
  })
}

/** By turns, so that both sizes have the same share of the machine's better and worse minutes. */
async function inTurns(
  shops: Shops,
  repetitions: number,
  measure: (shop: Shop) => Promise<number>,
): Promise<AtBothSizes> {
  const taken: Record<Size, number[]> = { at_1m: [], at_10m: [] }
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const size of Object.keys(shops) as Size[]) taken[size].push(await measure(shops[size]))
  }
  return { at_1m: median(taken.at_1m), at_10m: median(taken.at_10m) }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}

function median(values: number[]): number {
  return Math.round(values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!)
}
