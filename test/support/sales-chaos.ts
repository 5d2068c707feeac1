// test/support/sales-chaos: what nobody would do to a shop, at random.
// Statements for Postgres; whatever they do is then in the tables, and that is the truth.

import type { Random } from '../../generator/shop/random.ts'

const statuses = ['created', 'paid', 'shipped', 'delivered', 'delivered', 'delivered', 'returned', 'cancelled']

/** Times around midnight and around a change of the clocks, in the years of the history. */
function time(random: Random): string {
  const day = random.pick(['2024-03-10', '2024-11-03', '2024-12-31', '2025-01-01', '2025-06-15'])
  const hour = random.pick(['00:00:00', '03:59:59.999999', '04:00:00', '05:00:00', '23:59:59.999999'])
  return `timestamptz '${day} ${hour}+00'`
}

/** A status with all the times that it needs. */
function setStatus(status: string): string {
  const paid = !['created', 'cancelled'].includes(status)
  const shipped = ['shipped', 'delivered', 'returned'].includes(status)
  const when = (holds: boolean) => (holds ? 'now()' : 'NULL')
  return `status = '${status}', paid_at = ${when(paid)}, shipped_at = ${when(shipped)},
  delivered_at = ${when(['delivered', 'returned'].includes(status))}, cancelled_at = ${when(status === 'cancelled')},
  returned_at = ${when(status === 'returned')}, updated_at = now()`
}

/** Some of the rows, by a hash of their key. */
function some(random: Random, key: string): string {
  return `(${key} * 2654435761 + ${random.integer(0, 1000)}) % ${random.integer(2, 40)} = 0`
}

const actions: readonly ((random: Random) => string)[] = [
  random => `UPDATE shop.orders SET ${setStatus(random.pick(statuses))} WHERE ${some(random, 'order_id')}`,
  random => `UPDATE shop.orders SET ${setStatus(random.pick(statuses))} WHERE ${some(random, 'order_id')}`,
  random => `UPDATE shop.orders SET ordered_at = ${time(random)} WHERE ${some(random, 'order_id')}`,
  random =>
    `UPDATE shop.orders SET sales_territory_id = ${random.integer(1, 12)}, customer_id = (SELECT customer_id FROM shop.customers ORDER BY md5(customer_id::text || '${random.bits()}') LIMIT 1) WHERE ${some(random, 'order_id')}`,
  random => `UPDATE shop.orders SET employee_id = NULL, updated_at = now() WHERE ${some(random, 'order_id')}`,
  random =>
    `INSERT INTO shop.orders (customer_id, shop_id, sales_territory_id, status, ordered_at, delivered_at, shipped_at, paid_at, updated_at)
SELECT customer_id, 1, ${random.integer(1, 12)}, 'delivered', ${time(random)}, now(), now(), now(), now() FROM shop.customers WHERE ${some(random, 'customer_id')}`,
  random =>
    `INSERT INTO shop.order_items (order_id, product_id, quantity, price, cost_price)
SELECT order_id, 1, ${random.integer(1, 4)}, ${random.pick(['0', '0.01', '0.03', '19.99', '1234567890.12'])}, 0.01 FROM shop.orders WHERE ${some(random, 'order_id')} LIMIT 9`,
  random => `UPDATE shop.order_items SET quantity = ${random.integer(1, 9)} WHERE ${some(random, 'order_item_id')}`,
  random =>
    `UPDATE shop.order_items SET price = price / 3, cost_price = cost_price + 0.01 WHERE ${some(random, 'order_item_id')}`,
  random =>
    `UPDATE shop.order_items SET order_id = (SELECT max(order_id) FROM shop.orders) WHERE ${some(random, 'order_item_id')} AND EXISTS (SELECT FROM shop.orders)`,
  random => `DELETE FROM shop.order_items WHERE ${some(random, 'order_item_id')}`,
  random => `DELETE FROM shop.orders WHERE ${some(random, 'order_id')}`,
  random => `UPDATE shop.customers SET full_name = full_name || '!' WHERE ${some(random, 'customer_id')}`,
]

/** A statement that changes some rows of orders, items or customers; now and then it empties a table. */
export function chaos(random: Random): string {
  if (random.chance(0.03)) return 'TRUNCATE shop.order_items'
  if (random.chance(0.015)) return 'TRUNCATE shop.orders, shop.order_items'
  return random.pick(actions)(random)
}
