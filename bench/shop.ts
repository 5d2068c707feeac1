// bench/shop: a shop of a million orders through the pipeline, copied in ClickHouse to a larger
// one.

import { type Clickhouse, connectClickhouse } from '../clickhouse/client.ts'
import { insertSettings } from '../clickhouse/insert.ts'
import { mergeParts } from '../clickhouse/merge.ts'
import { backfill } from '../generator/database/backfill.ts'
import { applySchema } from '../generator/database/schema.ts'
import { type BenchStack, Pipeline, poll, salesSettings } from './pipeline.ts'

/** Database of its generation. */
export interface Shop {
  /** Runs statements in the generation's database. */
  readonly clickhouse: Clickhouse
  readonly database: string
}

const orders = 1_000_000
/** Rows of one insert while a shop is copied. */
const rowsPerInsert = 250_000
/** Above every id of the shop that the pipeline loaded. */
const idsPerCopy = 10_000_000

/** Tables that grow with the shop: their key, and the columns to which each copy adds an offset. */
export const tables = {
  'shop.customers': ['customer_id', ['customer_id']],
  'shop.user_traffic': ['visit_id', ['visit_id', 'customer_id']],
  'shop.orders': ['order_id', ['order_id', 'customer_id']],
  'shop.order_items': ['order_item_id', ['order_item_id', 'order_id']],
} as const
export type Multiplied = keyof typeof tables

export const current = (table: Multiplied) => `\`${table}.current\``

export async function fillSource(stack: BenchStack): Promise<void> {
  await applySchema(stack.postgresUrl, stack.log)
  await backfill({ url: stack.postgresUrl, orders, years: 2, seed: 1, log: stack.log, onProgress: () => {} })
}

/** Loads the source with a pipeline called `name`, then adds copies, and merges as after a load. */
export async function loadShop(stack: BenchStack, name: string, copies: number): Promise<Shop> {
  const pipeline = new Pipeline(stack, name, salesSettings())
  pipeline.start()
  await pipeline.untilLoaded()
  await pipeline.stop()
  const { database } = pipeline
  const clickhouse = connectClickhouse({ url: stack.clickhouseUrl, user: 'default', password: '', database })
  for (let copy = 1; copy <= copies; copy++) await multiply(clickhouse, copy)
  await mergeParts(clickhouse, stack.log)
  return { clickhouse, database }
}

/**
 * Inserts the rows of `source`, which has a sign, through every view of the model, like the
 * consumer.
 */
export async function insertImages(
  clickhouse: Clickhouse,
  table: Multiplied,
  source: string,
  rows: number,
): Promise<void> {
  await clickhouse.command(
    `INSERT INTO \`${table}.changelog\` (* EXCEPT (_op, _lsn, _ordinal, _offset, _commit_time, _sign), _sign) ${source}`,
    insertSettings(rows),
  )
}

/** One more shop of the same size and years with its own ids. */
async function multiply(clickhouse: Clickhouse, copy: number): Promise<void> {
  for (const [table, [key, shifted]] of Object.entries(tables) as [Multiplied, (typeof tables)[Multiplied]][]) {
    const ids = shifted.map(column => `${column} + ${copy * idsPerCopy} AS ${column}`).join(', ')
    for (let from = 0; from < 5 * orders; from += rowsPerInsert) {
      const rows = `SELECT * FROM ${current(table)} FINAL WHERE ${key} > ${from} AND ${key} <= ${from + rowsPerInsert}`
      await insertImages(
        clickhouse,
        table,
        `SELECT * EXCEPT _deleted REPLACE (${ids}), 1 FROM (${rows})`,
        rowsPerInsert,
      )
    }
  }
}

/** Waits until no merge runs and Postgres has vacuumed, so that a measurement runs alone. */
export async function untilQuiet({ clickhouse, sql }: BenchStack): Promise<void> {
  await sql.query('VACUUM ANALYZE')
  await sql.query('CHECKPOINT')
  await poll('the end of the merges', async () => {
    const [row] = await clickhouse.rows<{ n: string }>('SELECT count() AS n FROM system.merges')
    return Number(row!.n) === 0
  })
}
