// generator/database/shop-state: reads the shop's state from Postgres, and reserves ids.

import { type Client, query } from '../../postgres/client/client.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Identity, IdSource } from '../shop/operation.ts'
import { loadReference, type Product, type Reference } from '../shop/reference.ts'
import { territories } from '../shop/shop-constants.ts'
import type { KnownCustomer, KnownOrder, ShopState } from '../shop/shop-simulation.ts'

/** Maximum of rows of each kind that are read at the start. */
const limits = { open: 20_000, settled: 5_000, customers: 20_000 }

const homes = new Map(territories.flatMap(({ cities }, index) => cities.map(city => [city, index])))

/** Index of the city's territory; 0 for a city that is not in the constants. */
export function homeOf(city: string): number {
  return homes.get(city) ?? 0
}

/** @throws {MillraceError} SOURCE_EMPTY without reference data, POSTGRES_* */
export async function needReference(client: Client): Promise<Reference> {
  const reference = await loadReference(client)
  if (reference && reference.products.length > 0 && reference.trafficSources.length > 0) return reference
  throw new MillraceError('SOURCE_EMPTY', {
    what: 'the shop has no territories, no traffic sources or no products to sell',
    next: 'run `millrace generator backfill` first',
  })
}

/**
 * @param wanted `orders: false` omits the existing orders
 * @throws {MillraceError} SOURCE_EMPTY without reference data, POSTGRES_*
 */
export async function loadShopState(client: Client, wanted = { orders: true }): Promise<ShopState> {
  const reference = await needReference(client)
  const customers = await query<{ id: string; city: string }>(
    client,
    `SELECT customer_id AS id, city FROM shop.customers ORDER BY customer_id LIMIT ${limits.customers}`,
  )
  const of = (condition: string, limit: number) =>
    wanted.orders ? loadOrders(client, reference.products, condition, limit) : []
  return {
    reference,
    customers: customers.map(({ id, city }): KnownCustomer => ({ id: Number(id), home: homeOf(city) })),
    open: await of("o.status IN ('created', 'paid', 'shipped')", limits.open),
    settled: await of("o.status = 'delivered'", limits.settled),
  }
}

/** The latest orders of this kind that have items. */
async function loadOrders(
  client: Client,
  products: readonly Product[],
  condition: string,
  limit: number,
): Promise<KnownOrder[]> {
  const shares = new Map(products.map(({ id, returnShare }) => [id, returnShare]))
  const rows = await query<{ id: string; status: KnownOrder['status']; items: [string, number, number][] }>(
    client,
    `SELECT latest.id, latest.status, items.items
FROM (SELECT o.order_id AS id, o.status FROM shop.orders o WHERE ${condition} ORDER BY o.order_id DESC LIMIT ${limit}) AS latest
CROSS JOIN LATERAL (
  SELECT json_agg(json_build_array(i.order_item_id::text, i.quantity, i.product_id) ORDER BY i.order_item_id) AS items
  FROM shop.order_items i WHERE i.order_id = latest.id
) AS items
WHERE items.items IS NOT NULL ORDER BY latest.id`,
  )
  return rows.map(({ id, status, items }) => ({
    id: Number(id),
    status,
    returnShare: items.reduce((sum, [, , product]) => sum + (shares.get(product) ?? 0), 0) / items.length,
    items: items.map(([item, quantity]) => ({ id: Number(item), quantity })),
  }))
}

const identities: Readonly<Record<Identity, { readonly table: string; readonly column: string }>> = {
  order: { table: 'shop.orders', column: 'order_id' },
  item: { table: 'shop.order_items', column: 'order_item_id' },
  customer: { table: 'shop.customers', column: 'customer_id' },
  employee: { table: 'shop.employees', column: 'employee_id' },
}
/** Ids of employees to reserve. Hiring is rare, so a few are enough. */
const employeesAhead = 2

/** Ids reserved from the tables' sequences, so other writers never use them. */
export class ReservedIds implements IdSource {
  readonly #ids: Record<Identity, number[]> = { order: [], item: [], customer: [], employee: [] }

  /** Reserves until at least this many ids of each kind are left, and a few of employees. */
  async reserve(client: Client, least: number): Promise<void> {
    for (const [kind, { table, column }] of Object.entries(identities) as [Identity, (typeof identities)[Identity]][]) {
      const wanted = kind === 'employee' ? employeesAhead : least
      if (this.#ids[kind].length >= wanted) continue
      const rows = await query<{ id: string }>(
        client,
        `SELECT nextval(pg_get_serial_sequence($1, $2)) AS id FROM generate_series(1, $3::integer)`,
        [table, column, wanted * 4],
      )
      this.#ids[kind] = [...rows.map(({ id }) => Number(id)).reverse(), ...this.#ids[kind]]
    }
  }

  has(of: Identity): boolean {
    return this.#ids[of].length > 0
  }

  next(of: Identity): number {
    const id = this.#ids[of].pop()
    if (id === undefined) throw new RangeError(`no ${of} ids are left; reserve more before a batch`)
    return id
  }
}
