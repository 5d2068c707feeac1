-- key: scope, period, sales_territory_id, rank
-- model/sales/checks: top_employees, computed in Postgres from the source's rows.
WITH sold AS (
  SELECT
    o.employee_id,
    item.product_id,
    o.sales_territory_id,
    date_trunc('month', o.ordered_at AT TIME ZONE '{time_zone}')::date AS month,
    sum(item.quantity) AS units,
    sum(item.price * item.quantity) AS amount
  FROM shop.orders AS o
  JOIN shop.order_items AS item ON item.order_id = o.order_id
  WHERE o.delivered_at IS NOT NULL AND o.returned_at IS NULL AND o.employee_id IS NOT NULL
  GROUP BY o.employee_id, item.product_id, o.sales_territory_id, month
),
scoped AS (
  SELECT 'overall' AS scope, NULL::date AS period, NULL::integer AS sales_territory_id, employee_id, product_id, units, amount FROM sold
  UNION ALL SELECT 'year', date_trunc('year', month)::date, NULL, employee_id, product_id, units, amount FROM sold
  UNION ALL SELECT 'quarter', date_trunc('quarter', month)::date, NULL, employee_id, product_id, units, amount FROM sold
  UNION ALL SELECT 'month', month, NULL, employee_id, product_id, units, amount FROM sold
  UNION ALL SELECT 'territory', NULL, sales_territory_id, employee_id, product_id, units, amount FROM sold
),
ranked AS (
  SELECT
    scope,
    period,
    sales_territory_id,
    employee_id,
    product_id,
    sum(units) AS units,
    sum(amount) AS sales_amount,
    row_number() OVER (PARTITION BY scope, period, sales_territory_id ORDER BY sum(amount) DESC, employee_id, product_id) AS rank
  FROM scoped
  GROUP BY scope, period, sales_territory_id, employee_id, product_id
)
SELECT
  best.scope,
  best.period,
  best.sales_territory_id,
  territory.name AS territory_name,
  best.rank,
  best.employee_id,
  {shop.employees.full_name} AS employee_name,
  best.product_id,
  product.name AS product_name,
  best.units,
  best.sales_amount
FROM ranked AS best
JOIN shop.employees USING (employee_id)
JOIN shop.products AS product USING (product_id)
LEFT JOIN shop.sales_territories AS territory ON territory.sales_territory_id = best.sales_territory_id
WHERE best.rank <= 100
ORDER BY best.scope, best.period, best.sales_territory_id, best.rank
