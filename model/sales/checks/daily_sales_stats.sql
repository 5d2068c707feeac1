-- key: date
-- model/sales/checks: daily_sales_stats, computed in Postgres from the source's rows.
-- A completed order is recognised by its status.
WITH completed AS (
  SELECT order_id, (ordered_at AT TIME ZONE '{time_zone}')::date AS date
  FROM shop.orders
  WHERE delivered_at IS NOT NULL AND returned_at IS NULL
),
lines AS (
  SELECT completed.date, completed.order_id, item.quantity, item.price, item.cost_price
  FROM completed
  LEFT JOIN shop.order_items AS item ON item.order_id = completed.order_id
)
SELECT
  lines.date,
  count(DISTINCT order_id) AS total_orders,
  coalesce(sum(quantity), 0) AS total_items_sold,
  coalesce(sum(price * quantity), 0)::numeric(38,2) AS total_revenue,
  coalesce(sum(cost_price * quantity), 0)::numeric(38,2) AS total_cost,
  coalesce(sum((price - cost_price) * quantity), 0)::numeric(38,2) AS total_profit,
  round(coalesce(sum(price * quantity), 0) / count(DISTINCT order_id), 2)::numeric(38,2) AS average_order_value
FROM lines
GROUP BY lines.date
ORDER BY lines.date
