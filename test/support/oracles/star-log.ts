// test/support/oracles/star-log: a shop whose dimensions change, and a log of each dimension row
// between the changes.
// Postgres prints the logged rows.

import type { Random } from '../../../generator/shop/random.ts'
import type { TestDatabase } from '../servers/postgres.ts'

/** A shop without orders. Ids are explicit, so that edits can name them. */
export const starShop = `
INSERT INTO shop.sales_territories (sales_territory_id, name, region, country) OVERRIDING SYSTEM VALUE
  SELECT g, 'territory ' || g, 'region ' || g % 2, 'DE' FROM generate_series(1, 3) g;
INSERT INTO shop.shops (shop_id, name, city, sales_territory_id, opened_on) OVERRIDING SYSTEM VALUE
  SELECT g, 'shop ' || g, 'city ' || g, g, '2000-01-01' FROM generate_series(1, 3) g;
INSERT INTO shop.employees (employee_id, full_name, email, role, manager_id, sales_territory_id, hired_on) OVERRIDING SYSTEM VALUE
  SELECT g, 'employee ' || g, g || '@example.com', 'clerk', CASE WHEN g > 2 THEN g % 2 + 1 END, g % 3 + 1, '2000-01-01' FROM generate_series(1, 6) g;
INSERT INTO shop.customers (customer_id, full_name, email, city, country, marketing_consent, created_at, updated_at) OVERRIDING SYSTEM VALUE
  SELECT g, 'customer ' || g, g || '@example.com', 'city ' || g, 'DE', true, now(), now() FROM generate_series(1, 6) g;
INSERT INTO shop.categories (category_id, parent_id, name) OVERRIDING SYSTEM VALUE
  SELECT g, CASE WHEN g > 2 THEN g % 2 + 1 END, 'category ' || g FROM generate_series(1, 5) g;
INSERT INTO shop.products (product_id, name, category_id, price, cost_price, active, updated_at) OVERRIDING SYSTEM VALUE
  SELECT g, 'product ' || g, g, g, g / 2.0, true, now() FROM generate_series(1, 5) g;
INSERT INTO shop.traffic_sources (traffic_source_id, name, channel) OVERRIDING SYSTEM VALUE
  SELECT g, 'source ' || g, 'search' FROM generate_series(1, 2) g;`

/** Each dimension row as one text, in the form in which an analyst sees it through the star. */
const looks = `
SELECT 'customer ' || customer_id AS row, city AS look FROM shop.customers
UNION ALL SELECT 'shop ' || shop_id, concat_ws(', ', s.name, city, t.name, region) FROM shop.shops s JOIN shop.sales_territories t USING (sales_territory_id)
UNION ALL SELECT 'location ' || shop_id, concat_ws(', ', country, region, city) FROM shop.shops JOIN shop.sales_territories USING (sales_territory_id)
UNION ALL SELECT 'employee ' || e.employee_id, concat_ws(', ', e.full_name, coalesce(m.full_name, '~'), t.name)
  FROM shop.employees e JOIN shop.sales_territories t USING (sales_territory_id) LEFT JOIN shop.employees m ON m.employee_id = e.manager_id
UNION ALL SELECT 'territory ' || sales_territory_id, concat_ws(', ', name, region) FROM shop.sales_territories
UNION ALL SELECT 'traffic_source ' || traffic_source_id, name FROM shop.traffic_sources
UNION ALL SELECT 'product ' || product_id, concat_ws(', ', p.name, coalesce(above.name, c.name), CASE WHEN above.name IS NULL THEN '~' ELSE c.name END, price)
  FROM shop.products p JOIN shop.categories c USING (category_id) LEFT JOIN shop.categories above ON above.category_id = c.parent_id`

/** From a row, such as `shop 3`, to its text. */
type DimensionTexts = ReadonlyMap<string, string>

export interface Moment {
  /** Time by Postgres' clock, after one change and before the next. */
  readonly at: string
  readonly looks: DimensionTexts
}

export async function look(database: TestDatabase): Promise<Moment> {
  const [now] = await database.sql<{ at: string }>('SELECT clock_timestamp()::text AS at')
  const rows = await database.sql<{ row: string; look: string }>(looks)
  return { at: now!.at, looks: new Map(rows.map(({ row, look }) => [row, look])) }
}

/** One edit of a dimension, or of several in one transaction. */
export function randomDimensionEdit(random: Random): string {
  const n = random.integer(1, 99_999)
  const territory = random.integer(1, 3)
  return random.pick([
    `UPDATE shop.customers SET city = 'city ${n}' WHERE customer_id = ${random.integer(1, 6)}`,
    `UPDATE shop.shops SET name = 'shop ${n}', city = 'city ${n % 3}' WHERE shop_id = ${random.integer(1, 3)}`,
    `UPDATE shop.shops SET sales_territory_id = ${territory} WHERE shop_id = ${random.integer(1, 3)}`,
    `UPDATE shop.sales_territories SET name = 'territory ${n}' WHERE sales_territory_id = ${territory}`,
    `UPDATE shop.sales_territories SET region = 'region ${n % 3}' WHERE sales_territory_id = ${territory}`,
    `UPDATE shop.employees SET full_name = 'employee ${n}' WHERE employee_id = ${random.integer(1, 6)}`,
    `UPDATE shop.employees SET manager_id = ${random.pick(['NULL', '1', '2', '3'])} WHERE employee_id = ${random.integer(4, 6)}`,
    `UPDATE shop.employees SET sales_territory_id = ${territory} WHERE employee_id = ${random.integer(1, 6)}`,
    `UPDATE shop.categories SET name = 'category ${n}' WHERE category_id = ${random.integer(1, 5)}`,
    `UPDATE shop.categories SET parent_id = ${random.pick(['NULL', '1', '2'])} WHERE category_id = ${random.integer(3, 5)}`,
    `UPDATE shop.products SET price = ${n}.50, name = 'product ${n}' WHERE product_id = ${random.integer(1, 5)}`,
    `UPDATE shop.products SET category_id = ${random.integer(1, 5)} WHERE product_id = ${random.integer(1, 5)}`,
    `UPDATE shop.traffic_sources SET name = 'source ${n}' WHERE traffic_source_id = ${random.integer(1, 2)}`,
    `UPDATE shop.categories SET name = name || '!'; UPDATE shop.products SET price = price + 1; UPDATE shop.products SET price = price - 0.25`,
    `DELETE FROM shop.customers WHERE customer_id = 6`,
    `INSERT INTO shop.customers (customer_id, full_name, email, city, country, marketing_consent, created_at, updated_at) OVERRIDING SYSTEM VALUE
       VALUES (6, 'again', '', 'city ${n}', 'DE', true, now(), now()) ON CONFLICT (customer_id) DO UPDATE SET city = excluded.city`,
  ])
}
