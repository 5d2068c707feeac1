-- key: period_kind, period
-- model/sales/checks: customer_retention, computed in Postgres from the source's rows.
WITH purchases AS (
  SELECT customer_id, (ordered_at AT TIME ZONE '{time_zone}')::date AS day
  FROM shop.orders
  WHERE delivered_at IS NOT NULL AND returned_at IS NULL
),
firsts AS (
  SELECT customer_id, min(day) AS first_day FROM purchases GROUP BY customer_id
),
buyers AS (
  SELECT DISTINCT 'day' AS period_kind, day AS period, customer_id FROM purchases
  UNION ALL SELECT DISTINCT 'week', date_trunc('week', day)::date, customer_id FROM purchases
  UNION ALL SELECT DISTINCT 'month', date_trunc('month', day)::date, customer_id FROM purchases
),
counts AS (
  SELECT
    period_kind,
    period,
    count(*) AS customers,
    count(*) FILTER (WHERE date_trunc(period_kind, first_day) = period) AS new_customers
  FROM buyers
  JOIN firsts USING (customer_id)
  GROUP BY period_kind, period
)
SELECT
  period_kind,
  period,
  customers,
  new_customers,
  customers - new_customers AS returning_customers,
  round(new_customers::numeric / customers, 4) AS new_share,
  round((customers - new_customers)::numeric / customers, 4) AS returning_share
FROM counts
