// bench/sales-rows: rows of the sales model, created by SQL within Postgres because that is fast.

import { type Client, query } from '../postgres/client/client.ts'

/** Reference data for an empty schema: one territory, shop and product, and 1,000 customers. */
export async function seedReferences(client: Client): Promise<void> {
  await query(
    client,
    `INSERT INTO shop.sales_territories (name, region, country) VALUES ('Test', 'Test', 'Test');
    INSERT INTO shop.shops (name, city, sales_territory_id, opened_on) VALUES ('Test', 'Test', 1, '2020-01-01');
    INSERT INTO shop.categories (name) VALUES ('Test');
    INSERT INTO shop.products (name, category_id, price, cost_price, active, updated_at) VALUES ('Test', 1, 10, 5, true, now());
    INSERT INTO shop.customers (full_name, email, city, country, marketing_consent, created_at, updated_at)
      SELECT 'Customer ' || i, i || '@example.org', 'Test', 'Test', false, now(), now() FROM generate_series(1, 1000) AS i`,
  )
}

/** Items of an order written by `insertOrders`. */
export const itemsPerOrder = 3

/** One statement, hence one transaction, that inserts delivered orders with their items. */
export function insertOrders(count: number): string {
  return `WITH made AS (
  INSERT INTO shop.orders (customer_id, shop_id, sales_territory_id, status, ordered_at, paid_at, shipped_at, delivered_at, updated_at)
  SELECT 1 + (random() * 999)::int, 1, 1, 'delivered', now(), now(), now(), now(), now() FROM generate_series(1, ${count})
  RETURNING order_id
)
INSERT INTO shop.order_items (order_id, product_id, quantity, price, cost_price)
SELECT order_id, 1, 1 + i, 10.50 * i, 5.25 * i FROM made, generate_series(1, ${itemsPerOrder}) AS i`
}
