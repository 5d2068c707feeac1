// generator/database/backfill: fills an empty shop with reference data and history, by COPY.

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
  /** Average visits of the online shop per order; default 1, far fewer than in a real shop. */
  readonly visitsPerOrder?: number
  readonly seed: number
  /** End of the history; default now. The same seed and end create the same history. */
  readonly until?: Date
  readonly log: Log
  /** Called periodically with the number of rows written so far. */
  onProgress?(rows: number): void
}

export interface BackfillResult {
  readonly orders: number
  readonly items: number
  readonly visits: number
  /** Rows of reference data, customers, orders, items and visits. */
  readonly rows: number
  readonly seconds: number
}

/** Rows in memory at a time. Items are written after their orders. */
const rowsPerCopy = 40_000
const ordersPerCustomer = 5

/**
 * Fills the shop in one transaction.
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
    what: 'the shop has customers or orders already, and a history needs an empty shop',
    where: describeUrl(url),
    next: 'continue with `millrace generator run`, or drop the schema shop and create it again',
  })
}

/**
 * Switches off the checks of foreign keys for this transaction, which only a superuser may do. The
 * history refers only to its own rows, and the checks take most of the time.
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
  // The table of employees has only their current territory.
  const { employments } = makeStaff(seed, span)
  const territories = reference.territories.map((territory, index) => ({ ...territory, staff: employments[index]! }))
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

/** The next orders with at least `count` rows. Leaves the generator open. */
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

/** COPY writes its own ids, so the sequences must continue after them. */
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
