// generator/database/statements: turns a batch into one statement per kind of change.
// `execute` runs them in Postgres. Everything else is pure.

import type { Client } from '../../postgres/client/client.ts'
import type { Cell } from '../../postgres/client/copy-in.ts'
import { postgresError } from '../../postgres/client/errors.ts'
import { itemCells, itemColumns } from '../shop/history.ts'
import type { Operation } from '../shop/operation.ts'
import { customerColumns } from '../shop/person.ts'
import { money } from '../shop/seed.ts'
import { dateText, employeeCells, employeeColumns } from '../shop/staff.ts'
import { visitCells, visitColumns } from '../shop/visits.ts'

export interface Statement {
  /** Name of the prepared statement, one per connection. */
  readonly name: string
  readonly text: string
  /** One array per column. */
  readonly values: readonly (readonly Cell[])[]
}

type Kind = Operation['kind']
type Of<K extends Kind> = Extract<Operation, { readonly kind: K }>

interface Change {
  readonly name: string
  readonly text: string
  /** Rows of parameters of the operation. */
  readonly rows: (operation: Operation) => readonly (readonly Cell[])[]
}

function change<K extends Kind>(
  kind: K,
  name: string,
  text: string,
  rows: (operation: Of<K>) => readonly (readonly Cell[])[],
): Change {
  return { name, text, rows: operation => (operation.kind === kind ? rows(operation as Of<K>) : []) }
}

const orderColumns =
  'order_id, customer_id, shop_id, employee_id, sales_territory_id, traffic_source_id, ordered_at, updated_at'

const insertVisits = `INSERT INTO shop.user_traffic (${visitColumns.join(', ')})
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::text[], $5::numeric[])`

/** In an order that satisfies foreign keys. No two statements change the same row. */
const changes: readonly Change[] = [
  change(
    'registration',
    'register customers',
    `INSERT INTO shop.customers (${customerColumns.join(', ')}) OVERRIDING SYSTEM VALUE
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::date[], $6::text[], $7::text[], $8::boolean[],
  $9::timestamptz[], $10::timestamptz[])`,
    ({ customer }) => [customer.cells],
  ),
  change(
    'hiring',
    'hire employees',
    `INSERT INTO shop.employees (${employeeColumns.join(', ')}) OVERRIDING SYSTEM VALUE
SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::date[], $8::date[])`,
    ({ employee }) => [employeeCells(employee)],
  ),
  change(
    'order',
    'insert orders',
    `INSERT INTO shop.orders (${orderColumns}, status) OVERRIDING SYSTEM VALUE
SELECT *, 'created' FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[], $5::integer[], $6::integer[],
  $7::timestamptz[], $8::timestamptz[])`,
    ({ id, customer, sale, at }) => {
      const time = at.toISOString()
      return [[id, customer, sale.shop, sale.employee, sale.territory, sale.trafficSource, time, time]]
    },
  ),
  change(
    'order',
    'insert items',
    `INSERT INTO shop.order_items (${itemColumns.join(', ')}) OVERRIDING SYSTEM VALUE
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[], $5::numeric[], $6::numeric[])`,
    ({ id, lines }) => lines.map(line => itemCells(line.id, id, line)),
  ),
  change('order', 'insert visits of orders', insertVisits, ({ visit }) =>
    visit === undefined ? [] : [visitCells(visit)],
  ),
  change('visit', 'insert visits', insertVisits, ({ visit }) => [visitCells(visit)]),
  change(
    'step',
    'advance orders',
    `UPDATE shop.orders AS o SET status = s.status, updated_at = s.at,
  paid_at = CASE s.status WHEN 'paid' THEN s.at ELSE o.paid_at END,
  shipped_at = CASE s.status WHEN 'shipped' THEN s.at ELSE o.shipped_at END,
  delivered_at = CASE s.status WHEN 'delivered' THEN s.at ELSE o.delivered_at END,
  cancelled_at = CASE s.status WHEN 'cancelled' THEN s.at ELSE o.cancelled_at END,
  returned_at = CASE s.status WHEN 'returned' THEN s.at ELSE o.returned_at END
FROM unnest($1::bigint[], $2::shop.order_status[], $3::shop.order_status[], $4::timestamptz[]) AS s (id, before, status, at)
WHERE o.order_id = s.id AND o.status = s.before`,
    ({ order, from, to, at }) => [[order, from, to, at.toISOString()]],
  ),
  change(
    'quantity',
    'edit quantities',
    `UPDATE shop.order_items AS i SET quantity = c.quantity
FROM unnest($1::bigint[], $2::integer[]) AS c (id, quantity) WHERE i.order_item_id = c.id`,
    ({ item, quantity }) => [[item, quantity]],
  ),
  change(
    'correction',
    'correct orders',
    `UPDATE shop.orders AS o SET sales_territory_id = c.territory, ordered_at = o.ordered_at - c.days * interval '24 hours', updated_at = c.at
FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::timestamptz[]) AS c (id, territory, days, at)
WHERE o.order_id = c.id`,
    ({ order, territory, days, at }) => [[order, territory, days, at.toISOString()]],
  ),
  change('removal', 'delete items', 'DELETE FROM shop.order_items WHERE order_id = ANY ($1::bigint[])', ({ order }) => [
    [order],
  ]),
  change('removal', 'delete orders', 'DELETE FROM shop.orders WHERE order_id = ANY ($1::bigint[])', ({ order }) => [
    [order],
  ]),
  change(
    'price',
    'change prices',
    `UPDATE shop.products AS p SET price = c.price, cost_price = c.cost_price, updated_at = c.at
FROM unnest($1::integer[], $2::numeric[], $3::numeric[], $4::timestamptz[]) AS c (id, price, cost_price, at)
WHERE p.product_id = c.id`,
    ({ product, cents, costCents, at }) => [[product, money(cents), money(costCents), at.toISOString()]],
  ),
  change(
    'move',
    'move customers',
    `UPDATE shop.customers AS p SET city = c.city, country = c.country, updated_at = c.at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[]) AS c (id, city, country, at)
WHERE p.customer_id = c.id`,
    ({ customer, city, country, at }) => [[customer, city, country, at.toISOString()]],
  ),
  change(
    'departure',
    'let employees leave',
    `UPDATE shop.employees AS e SET left_on = c.at
FROM unnest($1::integer[], $2::date[]) AS c (id, at) WHERE e.employee_id = c.id AND e.left_on IS NULL`,
    ({ employee, at }) => [[employee, dateText(at.getTime())]],
  ),
  change(
    'transfer',
    'transfer employees',
    `UPDATE shop.employees AS e SET sales_territory_id = c.territory
FROM unnest($1::integer[], $2::integer[]) AS c (id, territory) WHERE e.employee_id = c.id`,
    ({ employee, territory }) => [[employee, territory]],
  ),
  change(
    'handover',
    'hand shops over',
    `UPDATE shop.shops AS s SET sales_territory_id = c.territory
FROM unnest($1::integer[], $2::integer[]) AS c (id, territory) WHERE s.shop_id = c.id`,
    ({ shop, territory }) => [[shop, territory]],
  ),
  change(
    'renaming',
    'rename territories',
    `UPDATE shop.sales_territories AS t SET name = c.name
FROM unnest($1::integer[], $2::text[]) AS c (id, name) WHERE t.sales_territory_id = c.id`,
    ({ territory, name }) => [[territory, name]],
  ),
]

/** The statements for the operations. Kinds that do not occur have none. */
export function statementsOf(operations: readonly Operation[]): Statement[] {
  return changes.flatMap(({ name, text, rows }) => {
    const all = operations.flatMap(rows)
    if (all.length === 0) return []
    return [{ name, text, values: all[0]!.map((_, column) => all.map(row => row[column]!)) }]
  })
}

/**
 * Runs within the caller's transaction.
 * @returns the changed rows @throws {MillraceError} POSTGRES_*
 */
export async function execute(client: Client, operations: readonly Operation[]): Promise<number> {
  let changes = 0
  for (const { name, text, values } of statementsOf(operations)) {
    try {
      const { rowCount } = await client.query({ name, text, values: [...values] })
      changes += rowCount ?? 0
    } catch (error) {
      throw postgresError(error, `the generator, to ${name}`)
    }
  }
  return changes
}
