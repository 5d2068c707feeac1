-- key: month, traffic_source_id
-- model/sales/checks: traffic_pivot, computed in Postgres from the source's rows.
WITH events AS (
  SELECT
    date_trunc('month', visited_at AT TIME ZONE '{time_zone}')::date AS month,
    traffic_source_id,
    1 AS visits,
    cost,
    0 AS orders,
    0 AS completed_orders,
    0::numeric AS revenue
  FROM shop.user_traffic
  UNION ALL
  SELECT
    date_trunc('month', o.ordered_at AT TIME ZONE '{time_zone}')::date,
    o.traffic_source_id,
    0,
    0,
    1,
    CASE WHEN o.delivered_at IS NOT NULL AND o.returned_at IS NULL THEN 1 ELSE 0 END,
    CASE WHEN o.delivered_at IS NOT NULL AND o.returned_at IS NULL
      THEN (SELECT coalesce(sum(item.price * item.quantity), 0) FROM shop.order_items AS item WHERE item.order_id = o.order_id)
      ELSE 0 END
  FROM shop.orders AS o
  WHERE o.traffic_source_id IS NOT NULL
),
months AS (
  SELECT
    month,
    source.traffic_source_id,
    source.name AS traffic_source,
    source.channel,
    source.channel AS pivot_channel,
    sum(visits) AS visits,
    sum(cost) AS cost,
    sum(orders) AS orders,
    sum(completed_orders) AS completed_orders,
    sum(revenue) AS revenue
  FROM events
  JOIN shop.traffic_sources AS source USING (traffic_source_id)
  GROUP BY month, source.traffic_source_id, source.name, source.channel
),
with_totals AS (
  SELECT * FROM months
  UNION ALL
  SELECT month, 0, 'All sources', 'all', pivot_channel, visits, cost, orders, completed_orders, revenue FROM months
)
SELECT
  month,
  traffic_source_id,
  traffic_source,
  channel,
  sum(visits) AS visits,
  sum(cost) AS cost,
  sum(orders) AS orders,
  sum(completed_orders) AS completed_orders,
  sum(revenue) AS revenue,
  round(sum(orders) / nullif(sum(visits), 0), 4) AS conversion,
  round(sum(cost) / nullif(sum(orders), 0), 2) AS cost_per_order,
  coalesce(sum(revenue) FILTER (WHERE pivot_channel = 'direct'), 0) AS revenue_direct,
  coalesce(sum(revenue) FILTER (WHERE pivot_channel = 'search'), 0) AS revenue_search,
  coalesce(sum(revenue) FILTER (WHERE pivot_channel = 'email'), 0) AS revenue_email,
  coalesce(sum(revenue) FILTER (WHERE pivot_channel = 'social'), 0) AS revenue_social,
  coalesce(sum(revenue) FILTER (WHERE pivot_channel = 'partner'), 0) AS revenue_partner,
  coalesce(sum(visits) FILTER (WHERE pivot_channel = 'direct'), 0) AS visits_direct,
  coalesce(sum(visits) FILTER (WHERE pivot_channel = 'search'), 0) AS visits_search,
  coalesce(sum(visits) FILTER (WHERE pivot_channel = 'email'), 0) AS visits_email,
  coalesce(sum(visits) FILTER (WHERE pivot_channel = 'social'), 0) AS visits_social,
  coalesce(sum(visits) FILTER (WHERE pivot_channel = 'partner'), 0) AS visits_partner,
  coalesce(sum(cost) FILTER (WHERE pivot_channel = 'direct'), 0) AS cost_direct,
  coalesce(sum(cost) FILTER (WHERE pivot_channel = 'search'), 0) AS cost_search,
  coalesce(sum(cost) FILTER (WHERE pivot_channel = 'email'), 0) AS cost_email,
  coalesce(sum(cost) FILTER (WHERE pivot_channel = 'social'), 0) AS cost_social,
  coalesce(sum(cost) FILTER (WHERE pivot_channel = 'partner'), 0) AS cost_partner,
  coalesce(sum(orders) FILTER (WHERE pivot_channel = 'direct'), 0) AS orders_direct,
  coalesce(sum(orders) FILTER (WHERE pivot_channel = 'search'), 0) AS orders_search,
  coalesce(sum(orders) FILTER (WHERE pivot_channel = 'email'), 0) AS orders_email,
  coalesce(sum(orders) FILTER (WHERE pivot_channel = 'social'), 0) AS orders_social,
  coalesce(sum(orders) FILTER (WHERE pivot_channel = 'partner'), 0) AS orders_partner
FROM with_totals
GROUP BY month, traffic_source_id, traffic_source, channel
