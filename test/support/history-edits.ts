// test/support/history-edits: what may be corrected afterwards in a shop with years behind it, each kind of edit at random rows.

import type { Random } from '../../generator/shop/random.ts'

/** Around midnights and changes of the clocks of several time zones, a leap day, the turn of a year, and just now. */
const moments = [
  ...['2024-02-29 23:59:59.999999+00', '2024-03-10 06:59:59+00', '2024-03-10 07:00:00+00', '2024-11-03 04:00:00+00'],
  ...['2024-12-31 23:30:00+00', '2025-01-01 00:00:00+00', '2025-03-30 00:59:59.5+00', '2025-10-26 01:30:00+00'],
].map(time => `'${time}'`)
const recent = ['now()', "now() - interval '40 seconds'", "now() - interval '59 minutes'", "now() + interval '2 days'"]

const statuses = ['created', 'paid', 'shipped', 'delivered', 'returned', 'cancelled'] as const
const channels = ['direct', 'search', 'email', 'social', 'partner']

const keys = {
  'shop.orders': 'order_id',
  'shop.order_items': 'order_item_id',
  'shop.user_traffic': 'visit_id',
  'shop.customers': 'customer_id',
  'shop.employees': 'employee_id',
  'shop.products': 'product_id',
  'shop.categories': 'category_id',
  'shop.shops': 'shop_id',
  'shop.sales_territories': 'sales_territory_id',
  'shop.traffic_sources': 'traffic_source_id',
} as const
type Table = keyof typeof keys

/** Puts the rows into an order of chance. */
function shuffled(random: Random, column: string): string {
  return `hashint8((${column})::bigint # ${random.integer(1, 1_000_000_000)})`
}

/** `count` rows of the table, or all that hold the condition if those are fewer. */
function some(random: Random, table: Table, count: number, condition = 'true'): string {
  const key = keys[table]
  return `${key} IN (SELECT ${key} FROM ${table} WHERE ${condition} ORDER BY ${shuffled(random, key)} LIMIT ${count})`
}

/** The key of some row of the table, another one for each row of one's own. */
function any(random: Random, table: Table, own: string, condition = 'true'): string {
  const key = keys[table]
  return `(SELECT each.${key} FROM ${table} AS each WHERE ${condition} ORDER BY ${shuffled(random, `each.${key} # ${own} * 7919`)} LIMIT 1)`
}

type Edit = (random: Random) => string

function update(table: Table, count: number, set: (random: Random) => string, condition?: string): Edit {
  return random => `UPDATE ${table} SET ${set(random)} WHERE ${some(random, table, count, condition)}`
}

function remove(table: Table, count: number): Edit {
  return random => `DELETE FROM ${table} WHERE ${some(random, table, count)}`
}

/** A status with the times that it needs, and no others. */
function status(random: Random): string {
  const chosen = random.pick(statuses)
  const when = (holds: boolean, hours: number) =>
    holds ? `ordered_at + interval '${hours} hours ${random.integer(0, 3599)} seconds'` : 'NULL'
  const shipped = ['shipped', 'delivered', 'returned'].includes(chosen)
  return `status = '${chosen}', paid_at = ${when(chosen !== 'created' && chosen !== 'cancelled', 1)},
  shipped_at = ${when(shipped, random.integer(1, 90))}, delivered_at = ${when(shipped && chosen !== 'shipped', random.integer(91, 400))},
  returned_at = ${when(chosen === 'returned', 500)}, cancelled_at = ${when(chosen === 'cancelled', 2)}, updated_at = now()`
}

/** Orders and their items written down, deleted and inserted again as they were. */
const reinsert: Edit = random => `
CREATE TEMP TABLE kept_orders ON COMMIT DROP AS SELECT * FROM shop.orders WHERE ${some(random, 'shop.orders', 100)};
CREATE TEMP TABLE kept_items ON COMMIT DROP AS SELECT * FROM shop.order_items WHERE order_id IN (SELECT order_id FROM kept_orders);
DELETE FROM shop.orders WHERE order_id IN (SELECT order_id FROM kept_orders);
INSERT INTO shop.orders OVERRIDING SYSTEM VALUE SELECT * FROM kept_orders;
INSERT INTO shop.order_items OVERRIDING SYSTEM VALUE SELECT * FROM kept_items`

const addItems: Edit = random => `INSERT INTO shop.order_items (order_id, product_id, quantity, price, cost_price)
SELECT order_id, ${any(random, 'shop.products', 'order_id')}, ${random.integer(1, 5)}, 19.99, 7.01
FROM shop.orders WHERE ${some(random, 'shop.orders', 100)}`

const removeCustomers: Edit = random => `
CREATE TEMP TABLE leaving ON COMMIT DROP AS SELECT customer_id FROM shop.customers WHERE ${some(random, 'shop.customers', 15)};
DELETE FROM shop.orders WHERE customer_id IN (SELECT customer_id FROM leaving);
DELETE FROM shop.customers WHERE customer_id IN (SELECT customer_id FROM leaving)`

const newTerritory: Edit = random =>
  `INSERT INTO shop.sales_territories (name, region, country) VALUES ('New ${random.bits()}', 'Nowhere', 'IS')`

/** Each is one transaction that changes at least one row. */
export const historyEdits: Readonly<Record<string, Edit>> = {
  'dates moved': update(
    'shop.orders',
    250,
    random => `ordered_at = ordered_at - interval '${random.integer(1, 200)} days 5 hours'`,
  ),
  'dates at the edge of a day': update('shop.orders', 120, random => `ordered_at = ${random.pick(moments)}`),
  'dates of now': update('shop.orders', 30, random => `ordered_at = ${random.pick(recent)}`),
  'status changed': update('shop.orders', 350, status),
  'status changed again': update('shop.orders', 350, status),
  'territory of orders changed': update(
    'shop.orders',
    300,
    random => `sales_territory_id = ${any(random, 'shop.sales_territories', 'order_id')}`,
  ),
  'shop of orders changed': update('shop.orders', 250, random => `shop_id = ${any(random, 'shop.shops', 'order_id')}`),
  'customer of orders changed': update(
    'shop.orders',
    200,
    random => `customer_id = ${any(random, 'shop.customers', 'order_id')}`,
  ),
  'nobody sold it': update('shop.orders', 150, () => 'employee_id = NULL'),
  'somebody else sold it': update(
    'shop.orders',
    150,
    random => `employee_id = ${any(random, 'shop.employees', 'order_id')}`,
  ),
  'source of orders changed': update(
    'shop.orders',
    250,
    random => `traffic_source_id = ${any(random, 'shop.traffic_sources', 'order_id')}`,
  ),
  'source of orders forgotten': update('shop.orders', 100, () => 'traffic_source_id = NULL'),
  'orders deleted': remove('shop.orders', 80),
  'orders inserted again': reinsert,
  'prices changed': update(
    'shop.order_items',
    600,
    random => `price = round(price * ${random.integer(1, 300)} / 100, 2)`,
  ),
  'given away': update('shop.order_items', 100, () => 'price = 0'),
  'costs changed': update('shop.order_items', 600, () => 'cost_price = cost_price + 0.01'),
  'quantities changed': update('shop.order_items', 600, random => `quantity = ${random.integer(1, 9)}`),
  'products exchanged': update(
    'shop.order_items',
    400,
    random => `product_id = ${any(random, 'shop.products', 'order_item_id')}`,
  ),
  'items moved between orders': update(
    'shop.order_items',
    150,
    random => `order_id = ${any(random, 'shop.orders', 'order_item_id')}`,
  ),
  'items deleted': remove('shop.order_items', 200),
  'items added': addItems,
  'customers deleted': removeCustomers,
  'customers renamed': update('shop.customers', 100, () => "full_name = full_name || ' II'"),
  'employees renamed': update('shop.employees', 10, () => "full_name = full_name || ' II'"),
  'products renamed': update('shop.products', 40, () => "name = name || ' II'"),
  'products moved': update(
    'shop.products',
    20,
    random => `category_id = ${any(random, 'shop.categories', 'product_id')}`,
  ),
  'categories moved': update(
    'shop.categories',
    4,
    random => `parent_id = ${any(random, 'shop.categories', 'categories.category_id', 'each.parent_id IS NULL')}`,
    'parent_id IS NOT NULL',
  ),
  'a subcategory becomes a category': update('shop.categories', 1, () => 'parent_id = NULL', 'parent_id IS NOT NULL'),
  'categories renamed': update('shop.categories', 4, () => "name = name || ' II'"),
  'shops moved': update(
    'shop.shops',
    9,
    random => `city = 'Newtown', sales_territory_id = ${any(random, 'shop.sales_territories', 'shop_id')}`,
  ),
  'shops renamed': update('shop.shops', 9, () => "name = name || ' II'"),
  'territories in another country': update(
    'shop.sales_territories',
    2,
    random => `country = '${random.pick(['DE', 'FR', 'IT'])}', region = 'Elsewhere'`,
  ),
  'territories renamed': update('shop.sales_territories', 3, () => "name = name || ' II'"),
  'a territory without orders': newTerritory,
  'sources in another channel': update(
    'shop.traffic_sources',
    3,
    random => `channel = '${random.pick(channels)}', name = name || ' II'`,
  ),
  'dates of visits moved': update('shop.user_traffic', 150, random => `visited_at = ${random.pick(moments)}`),
  'costs of visits changed': update('shop.user_traffic', 300, random => `cost = ${random.integer(0, 500)} / 100.0`),
  'source of visits changed': update(
    'shop.user_traffic',
    300,
    random => `traffic_source_id = ${any(random, 'shop.traffic_sources', 'visit_id')}`,
  ),
  'visits deleted': remove('shop.user_traffic', 150),
}
