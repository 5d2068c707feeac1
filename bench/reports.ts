// bench/reports: the time of each report, and of inserts of scattered updates, at two sizes.
// Both shops exist at the same time and are measured in turns.

import { randomUUID } from 'node:crypto'
import { publish } from '../clickhouse/publish.ts'
import { loadModel } from '../modeling/model.ts'
import { packagePath } from '../runtime/files.ts'
import { openBenchStack } from './pipeline.ts'
import { current, fillSource, insertImages, loadShop, type Multiplied, type Shop, tables, untilQuiet } from './shop.ts'

/** The larger shop, beside the one that the pipeline loaded. */
const copies = { at_1m: 0, at_10m: 9 } as const
type Size = keyof typeof copies
type AtBothSizes = Readonly<Record<Size, number>>
type Shops = Readonly<Record<Size, Shop>>

export interface ReportsResult {
  /** Rows of the tables. */
  readonly orders: AtBothSizes
  readonly order_items: AtBothSizes
  /** Milliseconds of `SELECT *` from each view of `analytics`; medians. */
  readonly reports_ms: Readonly<Record<string, AtBothSizes>>
  /** Milliseconds of an insert of 1,000 scattered updates with all views of the model; medians. */
  readonly fold_ms: { readonly orders: AtBothSizes; readonly order_items: AtBothSizes }
}

const scattered = 1000
const repetitions = { reports: 7, folds: 21 }

/** The next step of an order, and another quantity of an item. Each update changes sums. */
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

/** Each published view of the shop. */
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

/** Updates of distant rows as the consumer inserts them: one statement with both images. */
async function timeFolds(shops: Shops, table: keyof typeof updates): Promise<AtBothSizes> {
  const [column, value] = updates[table]
  const [key] = tables[table]
  const images = `SELECT * EXCEPT _sign REPLACE (if(_sign > 0, ${value}, ${column}) AS ${column}, _version + 1 AS _version), _sign
FROM (SELECT *, toInt8(arrayJoin([-1, 1])) AS _sign FROM bench_rows)`
  return inTurns(shops, repetitions.folds, async ({ clickhouse }) => {
    await clickhouse.command(`CREATE OR REPLACE TABLE bench_rows ENGINE = Memory AS
SELECT * EXCEPT _deleted FROM ${current(table)} FINAL ORDER BY cityHash64(${key}, '${randomUUID()}') LIMIT ${scattered}`)
    // Reads the tables first, because the kernel may have dropped files of the larger shop from its
    // cache.
    for (const read of Object.keys(updates) as Multiplied[]) {
      await clickhouse.command(`SELECT * FROM ${current(read)} FORMAT Null`)
    }
    return timed(() => insertImages(clickhouse, table, images, scattered))
  })
}

/** Measures in turns, so that slower minutes of the machine affect both sizes. */
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
