-- model/sales/clickhouse/020: completed sales by day, and the report daily_sales_stats.
-- May know: 010_sales_by_customer_day.

CREATE TABLE daily_sales
(
    date Date COMMENT 'Calendar day of ordered_at in the reporting time zone',
    orders Int64 COMMENT 'Completed orders: delivered and not returned',
    items Int64 COMMENT 'Pieces sold in them',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity',
    cost Decimal(38, 2) COMMENT 'Sum of cost_price times quantity'
)
ENGINE = SummingMergeTree((orders, items, revenue, cost))
PARTITION BY toYYYYMM(date)
ORDER BY date
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Completed sales by day. Several rows of one day add up: always read it with sum and GROUP BY';

CREATE MATERIALIZED VIEW daily_sales_from_customer_days TO daily_sales AS
SELECT
    day AS date,
    sum(orders) AS orders,
    sum(items) AS items,
    sum(revenue) AS revenue,
    sum(cost) AS cost
FROM sales_by_customer_day
GROUP BY date;

-- Decimal division cuts off. Of three decimals cut off, rounding half away from zero to two is what Postgres' round gives.
CREATE VIEW daily_sales_stats
(
    date Date COMMENT 'Calendar day of ordered_at in the reporting time zone. A day without a completed order has no row',
    total_orders UInt32 COMMENT 'Completed orders: delivered and not returned',
    total_items_sold UInt32 COMMENT 'Pieces sold in them',
    total_revenue Decimal(15, 2) COMMENT 'Sum of price times quantity',
    total_cost Decimal(15, 2) COMMENT 'Sum of cost_price times quantity',
    total_profit Decimal(15, 2) COMMENT 'total_revenue minus total_cost',
    average_order_value Decimal(15, 2) COMMENT 'total_revenue by total_orders, rounded half away from zero'
)
AS SELECT
    date,
    sum(orders) AS total_orders,
    sum(items) AS total_items_sold,
    sum(revenue) AS total_revenue,
    sum(cost) AS total_cost,
    total_revenue - total_cost AS total_profit,
    round(toDecimal128(total_revenue, 3) / total_orders, 2) AS average_order_value
FROM daily_sales
GROUP BY date
HAVING total_orders != 0
COMMENT 'Completed sales of every day: one row per day, right for past days as well';
