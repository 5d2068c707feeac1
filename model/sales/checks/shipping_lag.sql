-- key: shop_id, week
-- model/sales/checks: shipping_lag, computed in Postgres from the source's rows.
WITH lags AS (
  SELECT
    shop_id,
    date_trunc('week', ordered_at AT TIME ZONE '{time_zone}')::date AS week,
    extract(epoch FROM date_trunc('second', shipped_at) - date_trunc('second', ordered_at)) AS to_ship,
    extract(epoch FROM date_trunc('second', delivered_at) - date_trunc('second', ordered_at)) AS to_deliver,
    CASE WHEN shipped_at IS NULL THEN extract(epoch FROM {as_of} - date_trunc('second', ordered_at)) END AS open
  FROM shop.orders
  WHERE cancelled_at IS NULL
)
SELECT
  lags.shop_id,
  shop.name AS shop_name,
  shop.city,
  lags.week,
  count(to_ship) AS shipped_orders,
  round(avg(to_ship) / 3600, 2) AS avg_hours_to_ship,
  percentile_disc(0.5) WITHIN GROUP (ORDER BY floor(to_ship / 3600)) AS median_hours_to_ship,
  percentile_disc(0.95) WITHIN GROUP (ORDER BY floor(to_ship / 3600)) AS p95_hours_to_ship,
  count(to_deliver) AS delivered_orders,
  round(avg(to_deliver) / 3600, 2) AS avg_hours_to_deliver,
  percentile_disc(0.5) WITHIN GROUP (ORDER BY floor(to_deliver / 3600)) AS median_hours_to_deliver,
  percentile_disc(0.95) WITHIN GROUP (ORDER BY floor(to_deliver / 3600)) AS p95_hours_to_deliver,
  count(open) AS open_orders,
  floor(max(open) / 3600) AS oldest_open_hours,
  round(avg(open) / 3600, 2) AS avg_open_hours,
  {as_of} AS as_of
FROM lags
JOIN shop.shops AS shop USING (shop_id)
GROUP BY lags.shop_id, shop.name, shop.city, lags.week
