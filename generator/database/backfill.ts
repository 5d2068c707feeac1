// generator/database/backfill: the seed set and years of history into an empty shop, by COPY, in one transaction.

import { type Client, describeUrl, query, withClient } from '../../postgres/client/client.ts'
import { copyRows } from '../../postgres/client/copy-in.ts'
import { inTransaction } from '../../postgres/client/transaction.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Span } from '../shop/calendar.ts'
import {
  customerRows,
  emptyPopulation,
  type HistoricOrder,
  historicOrders,
  itemColumns,
  orderColumns,
} from '../shop/history.ts'
import { customerColumns } from '../shop/person.ts'
import { loadReference, type Reference } from '../shop/reference.ts'
import { seedTables } from '../shop/seed.ts'
import { makeStaff } from '../shop/staff.ts'
import { visitColumns } from '../shop/visits.ts'

export interface BackfillOptions {
  readonly url: string
  readonly orders: number
  readonly years: number
  /** Visits of the online shop for each order, on average; default 1, far fewer than a real shop has. */
  readonly visitsPerOrder?: number
  readonly seed: number
  /** End of the history; default now. With the same seed and end the history is the same. */
  readonly until?: Date
  readonly log: Log
  /** Told the rows written so far, now and then. */
  onProgress?(rows: number): void
}

export interface BackfillResult {
  readonly orders: number
  readonly items: number
  readonly visits: number
  /** All rows written: seed set, customers, orders, items and visits. */
  readonly rows: number
  readonly seconds: number
}

/** Rows that are held in memory at a time: items can only follow once their orders are there. */
const rowsPerCopy = 40_000
const ordersPerCustomer = 5

/**
 * Fills the shop, whole or not at all.
 * @throws {MillraceError} SOURCE_NOT_EMPTY when it has orders or customers already, POSTGRES_*
 */
export async function backfill(options: BackfillOptions): Promise<BackfillResult> {
  const { url, orders, years, visitsPerOrder = 1, seed, until = new Date(), log, onProgress } = options
  const started = performance.now()
  const from = new Date(until)
  from.setUTCFullYear(until.getUTCFullYear() - years)
  const span: Span = { from: from.getTime(), until: until.getTime() }
  return withClient(url, async client => {
    const written = await inTransaction(client, async () => {
      await refuseUnlessEmpty(client, url)
      await spareForeignKeys(client)
      const reference = await ensureSeedSet(client, seed, span)
      const population = emptyPopulation(Math.max(1, Math.round(orders / ordersPerCustomer)))
      const customers = customerRows(seed, population, span)
      let rows = reference.rows + (await copyRows(client, 'shop.customers', customerColumns, customers))
      const history = historicOrders({
        ...span,
        seed,
        orders,
        visitsPerOrder,
        population,
        reference: reference.reference,
      })
      const result = await copyOrders(client, history, written => onProgress?.(rows + written))
      rows += result.orders + result.items + result.visits
      await continueIdentities(client)
      return { ...result, rows }
    })
    await query(client, 'ANALYZE shop.customers, shop.orders, shop.order_items, shop.user_traffic')
    const result = { ...written, seconds: (performance.now() - started) / 1000 }
    log.info('history is written', {
      orders: result.orders,
      items: result.items,
      visits: result.visits,
      seconds: Math.round(result.seconds),
    })
    return result
  })
}

async function refuseUnlessEmpty(client: Client, url: string): Promise<void> {
  const [found] = await query<{ filled: boolean }>(
    client,
    'SELECT EXISTS (SELECT FROM shop.orders) OR EXISTS (SELECT FROM shop.customers) AS filled',
  )
  if (!found!.filled) return
  throw new MillraceError('SOURCE_NOT_EMPTY', {
    what: 'the shop has customers or orders already, and a history is only written into an empty one',
    where: describeUrl(url),
    next: 'go on with `millrace generator run`, or drop the schema shop and apply it again',
  })
}

/**
 * The history refers only to rows it has written itself; looking each of them up again takes most of the time.
 * Only a superuser may switch that off, for this transaction.
 */
async function spareForeignKeys(client: Client): Promise<void> {
  await query(
    client,
    "SELECT set_config('session_replication_role', 'replica', true) WHERE current_setting('is_superuser') = 'on'",
  )
}

async function ensureSeedSet(
  client: Client,
  seed: number,
  span: Span,
): Promise<{ reference: Reference; rows: number }> {
  const there = await loadReference(client)
  if (there !== undefined) return { reference: there, rows: 0 }
  let rows = 0
  for (const table of seedTables(seed, span)) rows += await copyRows(client, table.table, table.columns, table.rows)
  const reference = (await loadReference(client))!
  // The table of employees says only where they are now.
  const { stints } = makeStaff(seed, span)
  const territories = reference.territories.map((territory, index) => ({ ...territory, staff: stints[index]! }))
  return { reference: { ...reference, territories }, rows }
}

type Written = Pick<BackfillResult, 'orders' | 'items' | 'visits'>

async function copyOrders(
  client: Client,
  history: ReturnType<typeof historicOrders>,
  onProgress: (rows: number) => void,
): Promise<Written> {
  const written = { orders: 0, items: 0, visits: 0 }
  for (;;) {
    const chunk = takeRows(history, rowsPerCopy)
    if (chunk.length === 0) return written
    const rows = {
      orders: chunk.map(({ order }) => order),
      items: chunk.flatMap(({ items }) => items),
      visits: chunk.flatMap(({ visits }) => visits),
    }
    written.orders += await copyRows(client, 'shop.orders', orderColumns, rows.orders)
    written.items += await copyRows(client, 'shop.order_items', itemColumns, rows.items)
    written.visits += await copyRows(client, 'shop.user_traffic', visitColumns, rows.visits)
    onProgress(written.orders + written.items + written.visits)
  }
}

/** The next orders with so many rows or a few more, leaving the generator open. */
function takeRows(history: Generator<HistoricOrder>, most: number): HistoricOrder[] {
  const taken: HistoricOrder[] = []
  for (let rows = 0; rows < most; ) {
    const { value, done } = history.next()
    if (done) break
    taken.push(value)
    rows += 1 + value.items.length + value.visits.length
  }
  return taken
}

/** COPY brings its own ids; the sequences must go on behind them. */
async function continueIdentities(client: Client): Promise<void> {
  const columns = await query<{ table: string; column: string }>(
    client,
    `SELECT format('%I.%I', table_schema, table_name) AS table, column_name AS column
FROM information_schema.columns WHERE table_schema = 'shop' AND is_identity = 'YES'`,
  )
  for (const { table, column } of columns) {
    await query(
      client,
      `SELECT setval(pg_get_serial_sequence('${table}', '${column}'), (SELECT max(${column}) FROM ${table}))
WHERE EXISTS (SELECT FROM ${table})`,
    )
  }
}
