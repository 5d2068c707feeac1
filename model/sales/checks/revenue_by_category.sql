-- key: level, quarter, category_id, subcategory_id, country
-- model/sales/checks: revenue_by_category, computed in Postgres from the source's rows.
WITH places AS (
  SELECT
    product.product_id,
    coalesce(parent.category_id, own.category_id) AS category_id,
    coalesce(parent.name, own.name) AS category,
    CASE WHEN parent.category_id IS NOT NULL THEN own.category_id END AS subcategory_id,
    CASE WHEN parent.category_id IS NOT NULL THEN own.name END AS subcategory
  FROM shop.products AS product
  JOIN shop.categories AS own ON own.category_id = product.category_id
  LEFT JOIN shop.categories AS parent ON parent.category_id = own.parent_id
),
sold AS (
  SELECT
    date_trunc('quarter', o.ordered_at AT TIME ZONE '{time_zone}')::date AS quarter,
    territory.country,
    item.product_id,
    sum(item.quantity) AS units,
    sum(item.price * item.quantity) AS revenue,
    sum(item.cost_price * item.quantity) AS cost
  FROM shop.orders AS o
  JOIN shop.order_items AS item ON item.order_id = o.order_id
  JOIN shop.sales_territories AS territory ON territory.sales_territory_id = o.sales_territory_id
  WHERE o.delivered_at IS NOT NULL AND o.returned_at IS NULL
  GROUP BY quarter, territory.country, item.product_id
),
countries AS (
  SELECT quarter, country, product_id, units, revenue, cost FROM sold
  UNION ALL SELECT quarter, NULL, product_id, units, revenue, cost FROM sold
),
levels AS (
  SELECT 'category' AS level, quarter, category_id, category, NULL::integer AS subcategory_id, NULL AS subcategory, country,
    units, revenue, cost
  FROM countries JOIN places USING (product_id)
  UNION ALL
  SELECT 'subcategory', quarter, category_id, category, subcategory_id, subcategory, country, units, revenue, cost
  FROM countries JOIN places USING (product_id)
  WHERE subcategory_id IS NOT NULL
),
totals AS (
  SELECT quarter, country, sum(revenue) AS all_revenue FROM countries GROUP BY quarter, country
)
SELECT
  level,
  levels.quarter,
  category_id,
  category,
  subcategory_id,
  subcategory,
  levels.country,
  sum(units) AS units,
  sum(revenue) AS revenue,
  sum(cost) AS cost,
  sum(revenue) - sum(cost) AS profit,
  round(sum(revenue) / nullif(all_revenue, 0), 4) AS revenue_share
FROM levels
JOIN totals ON totals.quarter = levels.quarter AND totals.country IS NOT DISTINCT FROM levels.country
GROUP BY level, levels.quarter, category_id, category, subcategory_id, subcategory, levels.country, all_revenue
