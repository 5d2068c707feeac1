-- model/sales/clickhouse/310: the report daily_sales_stats.
-- Reads sales_fresh.
--
-- Decimal division truncates. Dividing to three decimals and rounding half away from zero to two
-- gives the result of Postgres' round. A number that does not fit into its column's type is an
-- error that names the type. It never becomes another number.
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
    period AS date,
    accurateCast(sum(orders), 'UInt32') AS total_orders,
    accurateCast(sum(units), 'UInt32') AS total_items_sold,
    sum(revenue) AS total_revenue,
    sum(cost) AS total_cost,
    total_revenue - total_cost AS total_profit,
    round(toDecimal128(total_revenue, 3) / total_orders, 2) AS average_order_value
FROM sales_fresh
WHERE grain = 'day'
GROUP BY date
HAVING total_orders != 0
COMMENT 'Completed sales of every day: one row per day, right for past days as well';
