-- key: country, region
-- model/sales/checks: sales_by_region, computed in Postgres from the source's rows.
WITH placed AS (
  SELECT
    sales_territory_id,
    order_id,
    delivered_at IS NOT NULL AND returned_at IS NULL AS completed,
    (ordered_at AT TIME ZONE '{time_zone}')::date = ({as_of} AT TIME ZONE '{time_zone}')::date AS today,
    date_trunc('second', ordered_at) > {as_of} - interval '1 hour' AND date_trunc('second', ordered_at) <= {as_of} AS last_hour,
    date_trunc('second', ordered_at) > {as_of} - interval '1 minute' AND date_trunc('second', ordered_at) <= {as_of} AS last_minute
  FROM shop.orders
),
intake AS (
  SELECT
    *,
    (SELECT coalesce(sum(item.price * item.quantity), 0) FROM shop.order_items AS item WHERE item.order_id = placed.order_id) AS amount
  FROM placed
  WHERE today OR last_hour OR last_minute
)
SELECT
  territory.country,
  territory.region,
  {as_of} AS as_of,
  count(*) FILTER (WHERE today) AS orders_today,
  coalesce(sum(amount) FILTER (WHERE today), 0) AS intake_value_today,
  coalesce(sum(amount) FILTER (WHERE today AND completed), 0) AS revenue_today,
  count(*) FILTER (WHERE last_hour) AS orders_last_hour,
  coalesce(sum(amount) FILTER (WHERE last_hour), 0) AS intake_value_last_hour,
  coalesce(sum(amount) FILTER (WHERE last_hour AND completed), 0) AS revenue_last_hour,
  count(*) FILTER (WHERE last_minute) AS orders_last_minute,
  coalesce(sum(amount) FILTER (WHERE last_minute), 0) AS intake_value_last_minute,
  coalesce(sum(amount) FILTER (WHERE last_minute AND completed), 0) AS revenue_last_minute
FROM shop.sales_territories AS territory
LEFT JOIN intake USING (sales_territory_id)
GROUP BY territory.country, territory.region
