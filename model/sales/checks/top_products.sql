-- key: period_kind, period, country, category_id, product_id
-- model/sales/checks: top_products, computed in Postgres from the source's rows.
WITH places AS (
  SELECT
    product.product_id,
    product.name AS product_name,
    coalesce(parent.category_id, own.category_id) AS category_id,
    coalesce(parent.name, own.name) AS category,
    CASE WHEN parent.category_id IS NOT NULL THEN own.name END AS subcategory
  FROM shop.products AS product
  JOIN shop.categories AS own ON own.category_id = product.category_id
  LEFT JOIN shop.categories AS parent ON parent.category_id = own.parent_id
),
sold AS (
  SELECT
    date_trunc('month', o.ordered_at AT TIME ZONE '{time_zone}')::date AS month,
    territory.country,
    item.product_id,
    sum(item.quantity) AS units,
    sum(item.price * item.quantity) AS revenue
  FROM shop.orders AS o
  JOIN shop.order_items AS item ON item.order_id = o.order_id
  JOIN shop.sales_territories AS territory ON territory.sales_territory_id = o.sales_territory_id
  WHERE o.delivered_at IS NOT NULL AND o.returned_at IS NULL
  GROUP BY month, territory.country, item.product_id
),
countries AS (
  SELECT month, country, product_id, units, revenue FROM sold
  UNION ALL SELECT month, NULL, product_id, units, revenue FROM sold
),
periods AS (
  SELECT 'overall' AS period_kind, NULL::date AS period, country, product_id, units, revenue FROM countries
  UNION ALL SELECT 'year', date_trunc('year', month)::date, country, product_id, units, revenue FROM countries
  UNION ALL SELECT 'quarter', date_trunc('quarter', month)::date, country, product_id, units, revenue FROM countries
  UNION ALL SELECT 'month', month, country, product_id, units, revenue FROM countries
),
sums AS (
  SELECT period_kind, period, country, product_id, sum(units) AS units, sum(revenue) AS revenue
  FROM periods
  GROUP BY period_kind, period, country, product_id
),
ranked AS (
  SELECT
    period_kind, period, country, category_id, category, subcategory, product_id, product_name, units, revenue,
    row_number() OVER (PARTITION BY period_kind, period, country, category_id ORDER BY units DESC, product_id) AS rank_by_units,
    row_number() OVER (PARTITION BY period_kind, period, country, category_id ORDER BY revenue DESC, product_id) AS rank_by_revenue
  FROM sums
  JOIN places USING (product_id)
)
SELECT *
FROM ranked
WHERE rank_by_units <= 100 OR rank_by_revenue <= 100
