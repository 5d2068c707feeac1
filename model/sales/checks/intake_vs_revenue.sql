-- key: level, country, city, shop_id, period_kind, period
-- model/sales/checks: intake_vs_revenue, computed in Postgres from the source's rows.
WITH intake AS (
  SELECT
    territory.country,
    shop.city,
    o.shop_id,
    shop.name AS shop_name,
    (o.ordered_at AT TIME ZONE '{time_zone}')::date AS day,
    CASE WHEN o.delivered_at IS NOT NULL AND o.returned_at IS NULL THEN 1 ELSE 0 END AS completed,
    (SELECT coalesce(sum(item.price * item.quantity), 0) FROM shop.order_items AS item WHERE item.order_id = o.order_id) AS amount
  FROM shop.orders AS o
  JOIN shop.sales_territories AS territory ON territory.sales_territory_id = o.sales_territory_id
  JOIN shop.shops AS shop ON shop.shop_id = o.shop_id
),
days AS (
  SELECT country, city, shop_id, shop_name, day, count(*) AS orders, sum(amount) AS intake_value,
    sum(completed) AS completed_orders, sum(amount * completed) AS revenue
  FROM intake
  GROUP BY country, city, shop_id, shop_name, day
),
periods AS (
  SELECT 'day' AS period_kind, day AS period, * FROM days
  UNION ALL SELECT 'week', date_trunc('week', day)::date, * FROM days
  UNION ALL SELECT 'month', date_trunc('month', day)::date, * FROM days
),
levels AS (
  SELECT 'country' AS level, country, NULL AS city, NULL::integer AS shop_id, NULL AS shop_name,
    period_kind, period, orders, intake_value, completed_orders, revenue
  FROM periods
  UNION ALL SELECT 'city', country, city, NULL, NULL, period_kind, period, orders, intake_value, completed_orders, revenue FROM periods
  UNION ALL SELECT 'shop', country, city, shop_id, shop_name, period_kind, period, orders, intake_value, completed_orders, revenue FROM periods
)
SELECT
  level,
  country,
  city,
  shop_id,
  shop_name,
  period_kind,
  period,
  sum(orders) AS orders,
  sum(intake_value) AS intake_value,
  sum(completed_orders) AS completed_orders,
  sum(revenue) AS revenue,
  round(1 - sum(revenue) / nullif(sum(intake_value), 0), 4) AS drop_off_rate
FROM levels
GROUP BY level, country, city, shop_id, shop_name, period_kind, period
