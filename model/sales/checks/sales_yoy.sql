-- key: level, country, sales_territory_id, shop_id, period_kind, period
-- model/sales/checks: sales_yoy, computed in Postgres from the source's rows.
WITH purchases AS (
  SELECT
    territory.country,
    o.sales_territory_id,
    territory.name AS territory_name,
    o.shop_id,
    shop.name AS shop_name,
    (o.ordered_at AT TIME ZONE '{time_zone}')::date AS day,
    (SELECT coalesce(sum(item.price * item.quantity), 0) FROM shop.order_items AS item WHERE item.order_id = o.order_id) AS amount
  FROM shop.orders AS o
  JOIN shop.sales_territories AS territory ON territory.sales_territory_id = o.sales_territory_id
  JOIN shop.shops AS shop ON shop.shop_id = o.shop_id
  WHERE o.delivered_at IS NOT NULL AND o.returned_at IS NULL
),
sales AS (
  SELECT country, sales_territory_id, territory_name, shop_id, shop_name, 'month' AS period_kind,
    date_trunc('month', day)::date AS period, count(*) AS orders, sum(amount) AS revenue
  FROM purchases
  GROUP BY 1, 2, 3, 4, 5, 7
  UNION ALL
  SELECT country, sales_territory_id, territory_name, shop_id, shop_name, 'quarter',
    date_trunc('quarter', day)::date, count(*), sum(amount)
  FROM purchases
  GROUP BY 1, 2, 3, 4, 5, 7
),
levels AS (
  SELECT 'total' AS level, NULL AS country, NULL::integer AS sales_territory_id, NULL AS territory_name, NULL::integer AS shop_id,
    NULL AS shop_name, period_kind, period, orders, revenue
  FROM sales
  UNION ALL SELECT 'country', country, NULL, NULL, NULL, NULL, period_kind, period, orders, revenue FROM sales
  UNION ALL SELECT 'territory', country, sales_territory_id, territory_name, NULL, NULL, period_kind, period, orders, revenue FROM sales
  UNION ALL SELECT 'shop', country, sales_territory_id, territory_name, shop_id, shop_name, period_kind, period, orders, revenue FROM sales
),
beside_year_before AS (
  SELECT level, country, sales_territory_id, territory_name, shop_id, shop_name, period_kind, period,
    orders, revenue, 0 AS orders_before, 0 AS revenue_before
  FROM levels
  UNION ALL
  SELECT level, country, sales_territory_id, territory_name, shop_id, shop_name, period_kind, (period + interval '1 year')::date,
    0, 0, orders, revenue
  FROM levels
)
SELECT
  level,
  country,
  sales_territory_id,
  territory_name,
  shop_id,
  shop_name,
  period_kind,
  period,
  sum(orders) AS orders,
  sum(revenue) AS revenue,
  sum(orders_before) AS orders_year_before,
  sum(revenue_before) AS revenue_year_before,
  sum(revenue) - sum(revenue_before) AS revenue_change,
  round((sum(revenue) - sum(revenue_before)) * 100 / nullif(sum(revenue_before), 0), 2) AS revenue_change_percent,
  {as_of} AS as_of
FROM beside_year_before
WHERE period <= date_trunc(period_kind, {as_of} AT TIME ZONE '{time_zone}')
GROUP BY level, country, sales_territory_id, territory_name, shop_id, shop_name, period_kind, period
