// generator/situation: the shop as the generator finds it, and the ids it may use.
// May know: postgres/connect, runtime/errors, generator/{life,reference,world}.

import { type Client, query } from '../postgres/connect.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { IdSource, KnownCustomer, KnownOrder, Situation } from './life.ts'
import { loadReference } from './reference.ts'
import { territories } from './world.ts'

/** Most rows of each kind that are read at the start. */
const limits = { open: 20_000, settled: 5_000, customers: 20_000 }

/** @throws {MillraceError} SOURCE_EMPTY without the seed set, POSTGRES_* */
export async function loadSituation(client: Client): Promise<Situation> {
  const reference = await loadReference(client)
  if (reference === undefined || reference.products.length === 0) {
    throw new MillraceError('SOURCE_EMPTY', {
      what: 'the shop has no territories or products to sell',
      next: 'run `millrace generator backfill` first',
    })
  }
  const homes = new Map(territories.flatMap(({ cities }, index) => cities.map(city => [city, index])))
  const customers = await query<{ id: string; city: string }>(
    client,
    `SELECT customer_id AS id, city FROM shop.customers ORDER BY customer_id LIMIT ${limits.customers}`,
  )
  return {
    reference,
    customers: customers.map(({ id, city }): KnownCustomer => ({ id: Number(id), home: homes.get(city) ?? 0 })),
    open: await loadOrders(client, "o.status IN ('created', 'paid', 'shipped')", limits.open),
    settled: await loadOrders(client, "o.status = 'delivered'", limits.settled),
  }
}

/** The latest orders of that kind; those without items are left in peace. */
async function loadOrders(client: Client, condition: string, limit: number): Promise<KnownOrder[]> {
  const rows = await query<{ id: string; status: KnownOrder['status']; items: [string, number][] }>(
    client,
    `SELECT latest.id, latest.status, items.items
FROM (SELECT o.order_id AS id, o.status FROM shop.orders o WHERE ${condition} ORDER BY o.order_id DESC LIMIT ${limit}) AS latest
CROSS JOIN LATERAL (
  SELECT json_agg(json_build_array(i.order_item_id::text, i.quantity) ORDER BY i.order_item_id) AS items
  FROM shop.order_items i WHERE i.order_id = latest.id
) AS items
WHERE items.items IS NOT NULL ORDER BY latest.id`,
  )
  return rows.map(({ id, status, items }) => ({
    id: Number(id),
    status,
    items: items.map(([item, quantity]) => ({ id: Number(item), quantity })),
  }))
}

const identities = {
  order: 'shop.orders.order_id',
  item: 'shop.order_items.order_item_id',
  customer: 'shop.customers.customer_id',
}
type Identity = keyof typeof identities

/** Ids drawn from the tables' own sequences, some in advance, so that other writers never meet them. */
export class ReservedIds implements IdSource {
  readonly #ids: Record<Identity, number[]> = { order: [], item: [], customer: [] }

  /** Sees to it that there are at least so many of each. */
  async reserve(client: Client, least: number): Promise<void> {
    for (const [kind, column] of Object.entries(identities) as [Identity, string][]) {
      if (this.#ids[kind].length >= least) continue
      const [, table, name] = /^(.*)\.(.*)$/.exec(column)!
      const rows = await query<{ id: string }>(
        client,
        `SELECT nextval(pg_get_serial_sequence($1, $2)) AS id FROM generate_series(1, $3::integer)`,
        [table, name, least * 4],
      )
      this.#ids[kind] = [...rows.map(({ id }) => Number(id)).reverse(), ...this.#ids[kind]]
    }
  }

  next(of: Identity): number {
    const id = this.#ids[of].pop()
    if (id === undefined) throw new RangeError(`no ${of} ids are left; reserve more before a batch`)
    return id
  }
}
