// test/support/random-sales: a small shop and random edits of everything that its reports are computed from.

import type { Random } from '../../generator/shop/random.ts'

const territories = 4
const shops = 4
const customers = 25
const products = 8
const orders = 60

/** A few rows of every table that orders refer to. */
export const smallShop = `
INSERT INTO shop.sales_territories (sales_territory_id, name, region, country) OVERRIDING SYSTEM VALUE
  SELECT g, 'territory ' || g, 'region', 'DE' FROM generate_series(1, ${territories}) g;
INSERT INTO shop.shops (shop_id, name, city, sales_territory_id, opened_on) OVERRIDING SYSTEM VALUE
  SELECT g, 'shop ' || g, 'city', g, '2000-01-01' FROM generate_series(1, ${shops}) g;
INSERT INTO shop.customers (customer_id, full_name, email, city, country, marketing_consent, created_at, updated_at) OVERRIDING SYSTEM VALUE
  SELECT g, 'customer ' || g, g || '@example.com', 'city', 'DE', true, now(), now() FROM generate_series(1, ${customers}) g;
INSERT INTO shop.categories (category_id, name) OVERRIDING SYSTEM VALUE VALUES (1, 'all');
INSERT INTO shop.products (product_id, name, category_id, price, cost_price, active, updated_at) OVERRIDING SYSTEM VALUE
  SELECT g, 'product ' || g, 1, g, g / 2.0, true, now() FROM generate_series(1, ${products}) g;
`

const statuses = ['created', 'paid', 'shipped', 'delivered', 'delivered', 'delivered', 'returned', 'cancelled']

/** Few days, so that orders share them; with midnights of several time zones, leap days and the ends of what is allowed. */
const moments = [
  ...['2024-02-28 23:59:59.999999+00', '2024-02-29 00:00:00+00', '2024-03-31 00:30:00+00', '2024-03-31 22:30:00+00'],
  ...['2024-06-15 12:00:00+00', '2024-06-15 03:29:59+00', '2024-06-15 02:30:00+00', '2024-12-31 23:30:00+00'],
  ...['2025-01-01 00:30:00+00', '2000-01-01 00:00:00+00', '2099-12-31 23:59:59.999999+00'],
]

/** One edit; it may fail where a row refers to one that is not there. */
export function randomSalesStatement(random: Random): string {
  const order = random.integer(1, orders)
  const kind = random.fraction()
  if (kind < 0.2) return insertOrder(random, order)
  if (kind < 0.42) return insertItem(random, order)
  if (kind < 0.54)
    return `UPDATE shop.orders SET ${statusColumns(random)}, updated_at = now() WHERE order_id = ${order}`
  if (kind < 0.6) return `UPDATE shop.orders SET ordered_at = '${random.pick(moments)}' WHERE order_id = ${order}`
  if (kind < 0.66)
    return `UPDATE shop.orders SET sales_territory_id = ${random.integer(1, territories)}, customer_id = ${random.integer(1, customers)} WHERE order_id BETWEEN ${order} AND ${order + 3}`
  if (kind < 0.74)
    return `UPDATE shop.order_items SET quantity = ${random.integer(1, 9)}, price = ${money(random)} WHERE order_id = ${order}`
  if (kind < 0.78)
    return `UPDATE shop.order_items SET order_id = (SELECT max(order_id) FROM shop.orders WHERE order_id < ${random.integer(2, orders)}) WHERE order_id = ${order} AND quantity < 4`
  if (kind < 0.84)
    return `DELETE FROM shop.order_items WHERE order_id = ${order} AND quantity > ${random.integer(1, 9)}`
  if (kind < 0.87) return `DELETE FROM shop.orders WHERE order_id = ${order}`
  if (kind < 0.93)
    return `UPDATE shop.customers SET full_name = 'renamed ${random.integer(1, 999)}' WHERE customer_id = ${random.integer(1, customers)}`
  if (kind < 0.95)
    return `UPDATE shop.sales_territories SET name = 'territory ' || ${random.integer(1, 9_999)} WHERE sales_territory_id = ${random.integer(1, territories)}`
  if (kind < 0.98) return `UPDATE shop.order_items SET cost_price = cost_price + 0.01`
  return random.chance(0.9) ? `UPDATE shop.orders SET updated_at = now()` : 'TRUNCATE shop.orders CASCADE'
}

function insertOrder(random: Random, order: number): string {
  const columns = Object.entries(statusValues(random))
  return `INSERT INTO shop.orders (order_id, customer_id, shop_id, sales_territory_id, ordered_at, updated_at, ${columns.map(([name]) => name).join(', ')})
OVERRIDING SYSTEM VALUE VALUES (${order}, ${random.integer(1, customers)}, ${random.integer(1, shops)}, ${random.integer(1, territories)}, '${random.pick(moments)}', now(), ${columns.map(([, value]) => value).join(', ')}) ON CONFLICT DO NOTHING`
}

/** Into some order that is there, so that it hardly ever fails. */
function insertItem(random: Random, order: number): string {
  const items = Array.from(
    { length: random.integer(1, 4) },
    () => `(${random.integer(1, products)}, ${random.integer(1, 9)}, ${money(random)}, ${money(random)})`,
  )
  return `INSERT INTO shop.order_items (order_id, product_id, quantity, price, cost_price)
SELECT order_id, item.* FROM shop.orders, (VALUES ${items.join(', ')}) AS item WHERE order_id BETWEEN ${order} AND ${order + 2}`
}

function money(random: Random): string {
  return (random.integer(0, 100_000) / 100).toFixed(2)
}

function statusColumns(random: Random): string {
  return Object.entries(statusValues(random))
    .map(([name, value]) => `${name} = ${value}`)
    .join(', ')
}

/** A status with the times that its table's constraint asks for. */
function statusValues(random: Random): Record<string, string> {
  const status = random.pick(statuses)
  const when = (holds: boolean) => (holds ? 'now()' : 'NULL')
  return {
    status: `'${status}'`,
    paid_at: when(!['created', 'cancelled'].includes(status)),
    shipped_at: when(['shipped', 'delivered', 'returned'].includes(status)),
    delivered_at: when(['delivered', 'returned'].includes(status)),
    returned_at: when(status === 'returned'),
    cancelled_at: when(status === 'cancelled'),
  }
}
