// generator/backfill: the seed set and years of history into an empty shop, by COPY, in one transaction.
// May know: postgres/connect, runtime, generator/{copy,history,person,reference,seed,transaction}.

import { type Client, describeUrl, query, withClient } from '../postgres/connect.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Span } from './calendar.ts'
import { copyRows } from './copy.ts'
import { customerRows, historicOrders, itemColumns, orderColumns, type Population } from './history.ts'
import { customerColumns } from './person.ts'
import { loadReference, type Reference } from './reference.ts'
import { seedTables } from './seed.ts'
import { inTransaction } from './transaction.ts'

export interface BackfillOptions {
  readonly url: string
  readonly orders: number
  readonly years: number
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
  /** All rows written: seed set, customers, orders and items. */
  readonly rows: number
  readonly seconds: number
}

/** Orders that are held in memory at a time: their items can only follow once they are there. */
const ordersPerCopy = 10_000
const ordersPerCustomer = 5

/**
 * Fills the shop, whole or not at all.
 * @throws {MillraceError} SOURCE_NOT_EMPTY when it has orders or customers already, POSTGRES_*
 */
export async function backfill(options: BackfillOptions): Promise<BackfillResult> {
  const { url, orders, years, seed, until = new Date(), log, onProgress } = options
  const started = performance.now()
  const from = new Date(until)
  from.setUTCFullYear(until.getUTCFullYear() - years)
  const span: Span = { from: from.getTime(), until: until.getTime() }
  return withClient(url, async client => {
    const written = await inTransaction(client, async () => {
      await refuseUnlessEmpty(client, url)
      await spareForeignKeys(client)
      const reference = await ensureSeedSet(client, seed, from)
      const count = Math.max(1, Math.round(orders / ordersPerCustomer))
      const population: Population = { registered: new Float64Array(count), home: new Uint16Array(count) }
      const customers = customerRows(seed, population, span)
      let rows = reference.rows + (await copyRows(client, 'shop.customers', customerColumns, customers))
      const history = historicOrders({ ...span, seed, orders, population, reference: reference.reference })
      const result = await copyOrders(client, history, written => onProgress?.(rows + written))
      rows += result.orders + result.items
      await continueIdentities(client)
      return { ...result, rows }
    })
    await query(client, 'ANALYZE shop.customers, shop.orders, shop.order_items')
    const result = { ...written, seconds: (performance.now() - started) / 1000 }
    log.info('history is written', { orders: result.orders, items: result.items, seconds: Math.round(result.seconds) })
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
  since: Date,
): Promise<{ reference: Reference; rows: number }> {
  const there = await loadReference(client)
  if (there !== undefined) return { reference: there, rows: 0 }
  let rows = 0
  for (const table of seedTables(seed, since)) rows += await copyRows(client, table.table, table.columns, table.rows)
  const reference = await loadReference(client)
  return { reference: reference!, rows }
}

async function copyOrders(
  client: Client,
  history: ReturnType<typeof historicOrders>,
  onProgress: (rows: number) => void,
): Promise<{ orders: number; items: number }> {
  let orders = 0
  let items = 0
  for (;;) {
    const chunk = [...take(history, ordersPerCopy)]
    if (chunk.length === 0) return { orders, items }
    orders += await copyRows(
      client,
      'shop.orders',
      orderColumns,
      chunk.map(({ order }) => order),
    )
    items += await copyRows(
      client,
      'shop.order_items',
      itemColumns,
      chunk.flatMap(entry => entry.items),
    )
    onProgress(orders + items)
  }
}

/** The next rows, leaving the generator open. */
function* take<Item>(source: Generator<Item>, count: number): Generator<Item> {
  for (let taken = 0; taken < count; taken++) {
    const { value, done } = source.next()
    if (done) return
    yield value
  }
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
