-- key: level, country, sales_territory_id, shop_id, quarter
-- model/sales/checks: revenue_by_quarter, computed in Postgres from the source's rows.
WITH lines AS (
  SELECT
    o.order_id,
    territory.country,
    o.sales_territory_id,
    territory.name AS territory_name,
    o.shop_id,
    shop.name AS shop_name,
    date_trunc('quarter', o.ordered_at AT TIME ZONE '{time_zone}')::date AS quarter,
    coalesce(item.quantity, 0) AS quantity,
    coalesce(item.price, 0) AS price,
    coalesce(item.cost_price, 0) AS cost_price
  FROM shop.orders AS o
  JOIN shop.sales_territories AS territory ON territory.sales_territory_id = o.sales_territory_id
  JOIN shop.shops AS shop ON shop.shop_id = o.shop_id
  LEFT JOIN shop.order_items AS item ON item.order_id = o.order_id
  WHERE o.delivered_at IS NOT NULL AND o.returned_at IS NULL
),
sales AS (
  SELECT
    country, sales_territory_id, territory_name, shop_id, shop_name, quarter,
    count(DISTINCT order_id) AS orders,
    sum(quantity) AS units,
    sum(price * quantity) AS revenue,
    sum(cost_price * quantity) AS cost
  FROM lines
  GROUP BY country, sales_territory_id, territory_name, shop_id, shop_name, quarter
),
levels AS (
  SELECT 'total' AS level, NULL AS country, NULL::integer AS sales_territory_id, NULL AS territory_name, NULL::integer AS shop_id,
    NULL AS shop_name, quarter, orders, units, revenue, cost
  FROM sales
  UNION ALL SELECT 'country', country, NULL, NULL, NULL, NULL, quarter, orders, units, revenue, cost FROM sales
  UNION ALL SELECT 'territory', country, sales_territory_id, territory_name, NULL, NULL, quarter, orders, units, revenue, cost FROM sales
  UNION ALL SELECT 'shop', country, sales_territory_id, territory_name, shop_id, shop_name, quarter, orders, units, revenue, cost FROM sales
)
SELECT
  level,
  country,
  sales_territory_id,
  territory_name,
  shop_id,
  shop_name,
  quarter,
  sum(orders) AS orders,
  sum(units) AS units,
  sum(revenue) AS revenue,
  sum(cost) AS cost,
  sum(revenue) - sum(cost) AS profit
FROM levels
GROUP BY level, country, sales_territory_id, territory_name, shop_id, shop_name, quarter
