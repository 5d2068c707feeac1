-- key: sales_territory_id, rank
-- model/sales/checks: territory_top_customers, computed in Postgres from the source's rows.
WITH purchases AS (
  SELECT
    o.sales_territory_id,
    o.customer_id,
    (o.ordered_at AT TIME ZONE '{time_zone}')::date AS day,
    (SELECT coalesce(sum(item.price * item.quantity), 0) FROM shop.order_items AS item WHERE item.order_id = o.order_id) AS amount
  FROM shop.orders AS o
  WHERE o.delivered_at IS NOT NULL AND o.returned_at IS NULL
),
customers AS (
  SELECT
    sales_territory_id,
    customer_id,
    count(*) AS orders,
    sum(amount) AS revenue,
    max(day) - min(day) AS span,
    row_number() OVER (PARTITION BY sales_territory_id ORDER BY sum(amount) DESC, customer_id) AS rank
  FROM purchases
  GROUP BY sales_territory_id, customer_id
)
SELECT
  best.sales_territory_id,
  territory.name AS territory_name,
  best.rank,
  best.customer_id,
  {shop.customers.full_name} AS customer_name,
  best.orders,
  best.revenue::numeric(38,2) AS revenue,
  CASE WHEN best.orders > 1 THEN round(best.span::numeric / (best.orders - 1), 2)::numeric(38,2) END AS avg_days_between_purchases,
  round(best.revenue / best.orders, 2)::numeric(38,2) AS average_purchase_price
FROM customers AS best
JOIN shop.sales_territories AS territory USING (sales_territory_id)
JOIN shop.customers USING (customer_id)
WHERE best.rank <= 100
ORDER BY best.sales_territory_id, best.rank
