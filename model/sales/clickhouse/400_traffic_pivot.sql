-- model/sales/clickhouse/400: the report traffic_pivot.
-- Reads sales_fresh, visits_by_month and the current state of shop.traffic_sources.
--
-- The source has a fixed set of channels, so each can be a column. The row of source 0 is the
-- total of a month.
CREATE VIEW traffic_pivot
(
    month Date COMMENT 'First day of the month of visited_at or ordered_at',
    traffic_source_id Int32 COMMENT 'Where visitors and customers came from, 0 for all sources together',
    traffic_source String COMMENT 'Name of the source today',
    channel String COMMENT 'Channel of the source, all for all sources together',
    visits UInt32 COMMENT 'Visits',
    cost Decimal(38, 2) COMMENT 'What the sources charged for them',
    orders UInt32 COMMENT 'Orders that came from the source, whatever their status',
    completed_orders UInt32 COMMENT 'Those that are delivered and not returned',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity over the completed ones',
    conversion Nullable(Decimal(9, 4)) COMMENT 'orders by visits. Null without a visit',
    cost_per_order Nullable(Decimal(38, 2)) COMMENT 'cost by orders. Null without an order',
    revenue_direct Decimal(38, 2) COMMENT 'revenue of channel direct',
    revenue_search Decimal(38, 2) COMMENT 'revenue of channel search',
    revenue_email Decimal(38, 2) COMMENT 'revenue of channel email',
    revenue_social Decimal(38, 2) COMMENT 'revenue of channel social',
    revenue_partner Decimal(38, 2) COMMENT 'revenue of channel partner',
    visits_direct UInt32 COMMENT 'visits of channel direct',
    visits_search UInt32 COMMENT 'visits of channel search',
    visits_email UInt32 COMMENT 'visits of channel email',
    visits_social UInt32 COMMENT 'visits of channel social',
    visits_partner UInt32 COMMENT 'visits of channel partner',
    cost_direct Decimal(38, 2) COMMENT 'cost of channel direct',
    cost_search Decimal(38, 2) COMMENT 'cost of channel search',
    cost_email Decimal(38, 2) COMMENT 'cost of channel email',
    cost_social Decimal(38, 2) COMMENT 'cost of channel social',
    cost_partner Decimal(38, 2) COMMENT 'cost of channel partner',
    orders_direct UInt32 COMMENT 'orders of channel direct',
    orders_search UInt32 COMMENT 'orders of channel search',
    orders_email UInt32 COMMENT 'orders of channel email',
    orders_social UInt32 COMMENT 'orders of channel social',
    orders_partner UInt32 COMMENT 'orders of channel partner'
)
AS WITH events AS
(
    SELECT month, traffic_source_id AS source, visits AS own_visits, cost AS own_cost, toInt64(0) AS own_orders, toInt64(0) AS own_completed, toDecimal128(0, 2) AS own_revenue
    FROM visits_by_month
    UNION ALL
    SELECT toStartOfMonth(period), traffic_source_id, toInt64(0), toDecimal128(0, 2), intake_orders, sales_fresh.orders, sales_fresh.revenue
    FROM sales_fresh
    WHERE grain = 'day' AND traffic_source_id != 0
)
SELECT
    month,
    row.1 AS traffic_source_id,
    any(row.2) AS traffic_source,
    any(row.3) AS channel,
    accurateCast(sum(own_visits), 'UInt32') AS visits,
    sum(own_cost) AS cost,
    accurateCast(sum(own_orders), 'UInt32') AS orders,
    accurateCast(sum(own_completed), 'UInt32') AS completed_orders,
    sum(own_revenue) AS revenue,
    round(toDecimal128(orders, 5) / nullIf(visits, 0), 4) AS conversion,
    round(toDecimal128(cost, 3) / nullIf(orders, 0), 2) AS cost_per_order,
    sumIf(own_revenue, own_channel = 'direct') AS revenue_direct,
    sumIf(own_revenue, own_channel = 'search') AS revenue_search,
    sumIf(own_revenue, own_channel = 'email') AS revenue_email,
    sumIf(own_revenue, own_channel = 'social') AS revenue_social,
    sumIf(own_revenue, own_channel = 'partner') AS revenue_partner,
    accurateCast(sumIf(own_visits, own_channel = 'direct'), 'UInt32') AS visits_direct,
    accurateCast(sumIf(own_visits, own_channel = 'search'), 'UInt32') AS visits_search,
    accurateCast(sumIf(own_visits, own_channel = 'email'), 'UInt32') AS visits_email,
    accurateCast(sumIf(own_visits, own_channel = 'social'), 'UInt32') AS visits_social,
    accurateCast(sumIf(own_visits, own_channel = 'partner'), 'UInt32') AS visits_partner,
    sumIf(own_cost, own_channel = 'direct') AS cost_direct,
    sumIf(own_cost, own_channel = 'search') AS cost_search,
    sumIf(own_cost, own_channel = 'email') AS cost_email,
    sumIf(own_cost, own_channel = 'social') AS cost_social,
    sumIf(own_cost, own_channel = 'partner') AS cost_partner,
    accurateCast(sumIf(own_orders, own_channel = 'direct'), 'UInt32') AS orders_direct,
    accurateCast(sumIf(own_orders, own_channel = 'search'), 'UInt32') AS orders_search,
    accurateCast(sumIf(own_orders, own_channel = 'email'), 'UInt32') AS orders_email,
    accurateCast(sumIf(own_orders, own_channel = 'social'), 'UInt32') AS orders_social,
    accurateCast(sumIf(own_orders, own_channel = 'partner'), 'UInt32') AS orders_partner
FROM
(
    SELECT events.*, own_channel, arrayJoin([(0, 'All sources', 'all'), (events.source, name, own_channel)]) AS row
    FROM events
    LEFT JOIN (SELECT traffic_source_id AS source, name, channel AS own_channel FROM `shop.traffic_sources.current` FINAL) AS sources USING (source)
)
GROUP BY month, traffic_source_id
HAVING visits != 0 OR cost != 0 OR orders != 0
COMMENT 'Visits, what they cost and what they brought, by month and traffic source, with the channels as columns';
