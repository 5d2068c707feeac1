// bench/shop: a shop of a million orders that comes through the real pipe, multiplied inside ClickHouse where a larger one is asked for.

import { randomUUID } from 'node:crypto'
import { type Clickhouse, connectClickhouse } from '../clickhouse/client.ts'
import { insertSettings } from '../clickhouse/insert.ts'
import { mergeParts } from '../clickhouse/merge.ts'
import { backfill } from '../generator/database/backfill.ts'
import { applySchema } from '../generator/database/schema.ts'
import { type BenchStack, Pipeline, poll, salesSettings } from './pipeline.ts'

/** A generation of its own. */
export interface Shop {
  /** Statements run in the generation's database. */
  readonly clickhouse: Clickhouse
  readonly database: string
}

const orders = 1_000_000
/** Of one insert while a shop is multiplied. */
const rowsPerInsert = 250_000
/** Far above every id of the shop that came through the pipe. */
const idsPerCopy = 10_000_000

/** Tables of which there is more in a larger shop: their key, and the columns that differ in each copy with what is added to them. */
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

/** Everything in the source through a pipeline called `name`, then as many copies of it, merged as a load of that size would be. */
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

/** Inserts as the consumer does: the rows of `source`, which has a sign besides the columns of the table, through every view of the model. */
export async function insertImages(
  clickhouse: Clickhouse,
  table: Multiplied,
  source: string,
  rows: number,
): Promise<void> {
  await clickhouse.command(
    `INSERT INTO \`${table}.changelog\` (* EXCEPT (_op, _lsn, _ordinal, _offset, _commit_time, _sign), _sign) ${source}`,
    insertSettings(randomUUID(), rows),
  )
}

/** One more shop of the same size and the same years with ids of its own. */
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

/** Until no merge runs and Postgres has cleaned up, so that nothing is measured beside the aftermath of a load. */
export async function untilQuiet({ clickhouse, sql }: BenchStack): Promise<void> {
  await sql.query('VACUUM ANALYZE')
  await sql.query('CHECKPOINT')
  await poll('the end of the merges', async () => {
    const [row] = await clickhouse.rows<{ n: string }>('SELECT count() AS n FROM system.merges')
    return Number(row!.n) === 0
  })
}
