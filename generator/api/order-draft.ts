// generator/api/order-draft: completes an order of the API: checks given values, draws the others.

import { type Client, query } from '../../postgres/client/client.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { homeOf, needReference, ReservedIds } from '../database/shop-state.ts'
import { type Line, makeLines, makeSale, type Sale } from '../shop/basket.ts'
import type { Operation } from '../shop/operation.ts'
import type { Random } from '../shop/random.ts'
import type { Reference } from '../shop/reference.ts'
import { Traffic } from '../shop/visits.ts'
import type { NewOrder } from './order-schema.ts'

type OrderOperation = Extract<Operation, { readonly kind: 'order' }>

/**
 * Runs within the caller's transaction and locks the rows that the order refers to.
 * @throws {MillraceError} NOT_FOUND, SOURCE_EMPTY, POSTGRES_*
 */
export async function draftOrder(client: Client, given: NewOrder, random: Random): Promise<OrderOperation> {
  const reference = await needReference(client)
  const at = given.ordered_at === undefined ? new Date() : new Date(given.ordered_at)
  const customer = await chooseCustomer(client, given.customer_id, random)
  const drawn = makeSale(random, reference, homeOf(customer.city), at.getTime())
  const sale = await withGiven(client, drawn, given)
  const lines =
    given.items === undefined ? makeLines(random, reference.products) : await givenLines(client, given.items)
  const ids = new ReservedIds()
  await ids.reserve(client, lines.length)
  return {
    kind: 'order',
    id: ids.next('order'),
    customer: customer.id,
    sale,
    lines: lines.map(line => ({ ...line, id: ids.next('item') })),
    visit: visitOf({ sale, customer: customer.id, at }, reference, random),
    at,
  }
}

function visitOf(
  { sale, customer, at }: { sale: Sale; customer: number; at: Date },
  reference: Reference,
  random: Random,
): OrderOperation['visit'] {
  if (sale.trafficSource === null) return undefined
  const time = at.getTime()
  return new Traffic(random, reference, 1).purchase({
    customer,
    source: sale.trafficSource,
    at: time,
    earliest: Date.UTC(2000, 0, 1),
  })
}

async function chooseCustomer(
  client: Client,
  given: number | undefined,
  random: Random,
): Promise<{ id: number; city: string }> {
  const [range] =
    given === undefined
      ? await query<{ last: string | null }>(client, 'SELECT max(customer_id) AS last FROM shop.customers')
      : []
  const wanted = given ?? random.integer(1, Number(range?.last ?? 1))
  const [found] = await query<{ id: string; city: string }>(
    client,
    `SELECT customer_id AS id, city FROM shop.customers WHERE customer_id ${given === undefined ? '>=' : '='} $1 ORDER BY customer_id LIMIT 1 FOR KEY SHARE`,
    [wanted],
  )
  if (found !== undefined) return { id: Number(found.id), city: found.city }
  if (given !== undefined) throw missing('customer', given)
  throw new MillraceError('SOURCE_EMPTY', {
    what: 'the shop has no customers',
    next: 'run `millrace generator backfill` first',
  })
}

/** A given shop decides the territory. A given employee is the seller. */
async function withGiven(client: Client, drawn: Sale, given: NewOrder): Promise<Sale> {
  const sale = { ...drawn }
  if (given.shop_id !== undefined) {
    const shop = await one<{ territory: number }>(
      client,
      'shop',
      given.shop_id,
      'SELECT sales_territory_id AS territory FROM shop.shops WHERE shop_id = $1',
    )
    Object.assign(sale, { shop: given.shop_id, territory: shop.territory, employee: null })
  }
  if (given.employee_id !== undefined) {
    await one(client, 'employee', given.employee_id, 'SELECT FROM shop.employees WHERE employee_id = $1')
    Object.assign(sale, { employee: given.employee_id })
  }
  if (given.traffic_source_id !== undefined) {
    await one(
      client,
      'traffic source',
      given.traffic_source_id,
      'SELECT FROM shop.traffic_sources WHERE traffic_source_id = $1',
    )
    Object.assign(sale, { trafficSource: given.traffic_source_id })
  }
  return sale
}

async function givenLines(client: Client, items: NonNullable<NewOrder['items']>): Promise<Line[]> {
  const rows = await query<{ id: number; cents: number; costCents: number }>(
    client,
    `SELECT product_id AS id, (price * 100)::float8 AS cents, (cost_price * 100)::float8 AS "costCents"
FROM shop.products WHERE product_id = ANY ($1::integer[]) FOR KEY SHARE`,
    [items.map(({ product_id }) => product_id)],
  )
  return items.map(({ product_id, quantity, price }) => {
    const product = rows.find(({ id }) => id === product_id)
    if (product === undefined) throw missing('product', product_id)
    const cents = price === undefined ? product.cents : Number(price.replace('.', ''))
    return { product: product_id, quantity, cents, costCents: product.costCents, returnShare: 0 }
  })
}

async function one<Row extends object>(client: Client, what: string, id: number, sql: string): Promise<Row> {
  const [row] = await query<Row>(client, `${sql} FOR KEY SHARE`, [id])
  if (row === undefined) throw missing(what, id)
  return row
}

function missing(what: string, id: number): MillraceError {
  return new MillraceError('NOT_FOUND', {
    what: `there is no ${what} ${id}`,
    next: `name a ${what} that exists, or omit it`,
  })
}
