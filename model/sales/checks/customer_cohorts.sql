-- key: cohort, months_since
-- model/sales/checks: customer_cohorts, computed in Postgres from the source's rows.
WITH purchases AS (
  SELECT DISTINCT customer_id, date_trunc('month', ordered_at AT TIME ZONE '{time_zone}')::date AS month
  FROM shop.orders
  WHERE delivered_at IS NOT NULL AND returned_at IS NULL
),
firsts AS (
  SELECT customer_id, min(month) AS cohort FROM purchases GROUP BY customer_id
),
sizes AS (
  SELECT cohort, count(*) AS cohort_size FROM firsts GROUP BY cohort
),
counts AS (
  SELECT cohort, month, count(*) AS customers
  FROM purchases
  JOIN firsts USING (customer_id)
  GROUP BY cohort, month
)
SELECT
  cohort,
  12 * (extract(year FROM month) - extract(year FROM cohort)) + extract(month FROM month) - extract(month FROM cohort) AS months_since,
  cohort_size,
  customers,
  round(customers::numeric / cohort_size, 4) AS share
FROM counts
JOIN sizes USING (cohort)
