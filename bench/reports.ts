// bench/reports: how long each report takes, and what folding scattered updates costs, on a shop and on one ten times its size.
// May know: bench/pipeline, clickhouse, generator. The shop comes through the real pipe; it is then multiplied inside ClickHouse.

import { randomUUID } from 'node:crypto'
import { connectClickhouse } from '../clickhouse/client.ts'
import { insertSettings } from '../clickhouse/insert.ts'
import { mergeParts } from '../clickhouse/merge.ts'
import { loadModel } from '../clickhouse/model.ts'
import { backfill } from '../generator/backfill.ts'
import { applySchema } from '../generator/schema.ts'
import { packagePath } from '../runtime/package.ts'
import { type BenchStack, openBenchStack, Pipeline, poll, salesSettings } from './pipeline.ts'

interface AtBothSizes {
  readonly at_1m: number
  readonly at_10m: number
}

export interface ReportsResult {
  /** Rows that stand behind the figures. */
  readonly orders: AtBothSizes
  readonly order_items: AtBothSizes
  /** Milliseconds that `SELECT *` takes, the median of several, all views of `analytics`. */
  readonly reports_ms: Readonly<Record<string, AtBothSizes>>
  /** Milliseconds that an insert of 1,000 scattered updates takes, all views of the model included, the median of several. */
  readonly fold_ms: { readonly orders: AtBothSizes; readonly order_items: AtBothSizes }
}

const database = 'reports_1'
const orders = 1_000_000
const copies = 9
const scattered = 1000
const repetitions = 7

export async function measureReports(): Promise<ReportsResult> {
  const stack = await openBenchStack()
  try {
    await applySchema(stack.postgresUrl, stack.log)
    await backfill({ url: stack.postgresUrl, orders, years: 2, seed: 1, log: stack.log, onProgress: () => {} })
    const pipeline = new Pipeline(stack, 'reports', salesSettings())
    pipeline.start()
    await pipeline.untilLoaded()
    await pipeline.stop()
    const small = await measure(stack)
    for (let copy = 1; copy <= copies; copy++) await multiply(stack, copy)
    await mergeAsAfterLoad(stack)
    return beside(small, await measure(stack))
  } finally {
    await stack.close()
  }
}

interface Measured {
  readonly orders: number
  readonly order_items: number
  readonly reports: ReadonlyMap<string, number>
  readonly foldOrders: number
  readonly foldItems: number
}

async function measure(stack: BenchStack): Promise<Measured> {
  await untilQuiet(stack)
  const reports = new Map<string, number>()
  for (const { database: published, name } of loadModel(packagePath('model/sales'), 'UTC').publish) {
    if (published !== 'analytics') continue
    reports.set(name, await medianOf(() => stack.clickhouse.command(`SELECT * FROM analytics.${name} FORMAT Null`)))
  }
  const count = async (table: string) => {
    const [row] = await stack.clickhouse.rows<{ n: string }>(`SELECT count() AS n FROM shop.${table}`)
    return Number(row!.n)
  }
  return {
    orders: await count('orders'),
    order_items: await count('order_items'),
    reports,
    foldOrders: await foldScattered(stack, 'shop.orders', 'employee_id', 'employee_id % 60 + 1'),
    foldItems: await foldScattered(stack, 'shop.order_items', 'quantity', 'quantity % 3 + 1'),
  }
}

/** Updates rows that lie far from each other, as the consumer would insert them: one statement with both images of each. */
async function foldScattered(stack: BenchStack, table: Multiplied, column: string, value: string): Promise<number> {
  const images = `${database}.\`bench.images\``
  const [key] = tables[table]
  return medianOf(async () => {
    await stack.clickhouse.command(`CREATE OR REPLACE TABLE ${images} ENGINE = Memory AS
SELECT * EXCEPT _deleted FROM ${current(table)} FINAL ORDER BY cityHash64(${key}, '${randomUUID()}') LIMIT ${scattered}`)
    const insert = `INSERT INTO ${changelog(table)} (* EXCEPT (_op, _lsn, _ordinal, _offset, _commit_time, _sign), _sign)
SELECT * EXCEPT _sign REPLACE (if(_sign > 0, ${value}, ${column}) AS ${column}, _version + 1 AS _version), _sign
FROM (SELECT *, toInt8(arrayJoin([-1, 1])) AS _sign FROM ${images})`
    const started = performance.now()
    await stack.clickhouse.command(insert, insertSettings(randomUUID(), scattered))
    return performance.now() - started
  })
}

/** Tables of which there is more in a larger shop: their key, and the columns that differ in each copy with what is added to them. */
const tables = {
  'shop.customers': ['customer_id', ['customer_id']],
  'shop.user_traffic': ['visit_id', ['visit_id', 'customer_id']],
  'shop.orders': ['order_id', ['order_id', 'customer_id']],
  'shop.order_items': ['order_item_id', ['order_item_id', 'order_id']],
} as const
type Multiplied = keyof typeof tables

const current = (table: Multiplied) => `${database}.\`${table}.current\``
const changelog = (table: Multiplied) => `${database}.\`${table}.changelog\``
/** Far above every id of the shop that came through the pipe. */
const idsPerCopy = 10_000_000

/** One more shop of the same size and the same years with ids of its own, through every view of the model. */
async function multiply({ clickhouse }: BenchStack, copy: number): Promise<void> {
  for (const [table, [key, shifted]] of Object.entries(tables) as [Multiplied, (typeof tables)[Multiplied]][]) {
    const ids = shifted.map(column => `${column} + ${copy * idsPerCopy} AS ${column}`).join(', ')
    const rowsPerInsert = orders / 4
    for (let from = 0; from < 5 * orders; from += rowsPerInsert) {
      await clickhouse.command(
        `INSERT INTO ${changelog(table)} (* EXCEPT (_op, _lsn, _ordinal, _offset, _commit_time, _sign), _sign)
SELECT * EXCEPT _deleted REPLACE (${ids}), 1 FROM (SELECT * FROM ${current(table)} FINAL WHERE ${key} > ${from} AND ${key} <= ${from + rowsPerInsert})`,
        insertSettings(randomUUID(), rowsPerInsert),
      )
    }
  }
}

/** A load of that size would have ended with this. */
async function mergeAsAfterLoad({ clickhouseUrl: url, log }: BenchStack): Promise<void> {
  const clickhouse = connectClickhouse({ url, user: 'default', password: '', database })
  await mergeParts(clickhouse, log)
  await clickhouse.close()
}

/** Until no merge runs and Postgres has cleaned up, so that a report is not measured beside the aftermath of the load. */
async function untilQuiet({ clickhouse, sql }: BenchStack): Promise<void> {
  await sql.query('VACUUM ANALYZE')
  await sql.query('CHECKPOINT')
  await poll('the end of the merges', async () => {
    const [row] = await clickhouse.rows<{ n: string }>('SELECT count() AS n FROM system.merges')
    return Number(row!.n) === 0
  })
}

async function medianOf(work: () => Promise<unknown>): Promise<number> {
  const taken: number[] = []
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const started = performance.now()
    const own = await work()
    taken.push(typeof own === 'number' ? own : performance.now() - started)
  }
  return Math.round(taken.sort((a, b) => a - b)[Math.floor(repetitions / 2)]!)
}

function beside(small: Measured, large: Measured): ReportsResult {
  const both = (of: (measured: Measured) => number) => ({ at_1m: of(small), at_10m: of(large) })
  return {
    orders: both(({ orders }) => orders),
    order_items: both(({ order_items }) => order_items),
    reports_ms: Object.fromEntries(
      [...small.reports.keys()].map(name => [name, both(({ reports }) => reports.get(name)!)]),
    ),
    fold_ms: { orders: both(({ foldOrders }) => foldOrders), order_items: both(({ foldItems }) => foldItems) },
  }
}
