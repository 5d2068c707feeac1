-- model/sales/clickhouse/100: sales_cube, the sums that every report on orders reads.
-- The views of 110 and 120 fill it.
--
-- One table holds several grains, as materialised GROUPING SETS would. `grain` names the set.
-- A dimension that is not in the set is 0. It is one table because an insert writes at least one
-- part into every table behind it, however few rows that table gets.
--
--   grain           dimensions                             answers
--   day             day, territory, shop, traffic source   sales by day, month, quarter; drop-off
--   second          day, second, territory                 the last hour, the last minute
--   open            shop, second                           unshipped orders and their age
--   shipped         week, shop, hours                      time to ship: average, median, p95
--   delivered       week, shop, hours                      time to deliver
--   customer        territory, customer                    best customers
--   customer_day    day, territory, customer               first, last and repeated purchases
--   product_month   month, territory, product              best sellers, categories
--   employee        territory, employee, product           best sellers among the staff, all time
--   employee_month  month, employee, product               the same by period
--
-- Every measure is a sum of signed images, so an update or a delete subtracts exactly what the
-- earlier insert added. A row whose measures are all 0 is dropped. Several rows of one key add up:
-- read the table with sum and GROUP BY. Only the grains by day are partitioned, by month, because
-- a batch writes a part for each partition that it touches.
CREATE TABLE sales_cube
(
    grain LowCardinality(String) COMMENT 'Which dimensions the row has, the others are 0',
    period Date COMMENT 'Day, Monday of the week or first day of the month of ordered_at in the reporting time zone, or 1970-01-01 where the grain has none',
    sales_territory_id Int32 COMMENT 'Territory the sale counts for',
    shop_id Int32 COMMENT 'Shop that took the order',
    traffic_source_id Int32 COMMENT 'Where the customer came from, 0 in a shop of brick',
    employee_id Int32 COMMENT 'Who sold it, 0 for nobody',
    customer_id Int64 COMMENT 'Who ordered',
    product_id Int32 COMMENT 'What was sold',
    hours Int32 COMMENT 'Whole hours from the order to the shipping or the delivery',
    second DateTime('UTC') COMMENT 'ordered_at, cut off to the second',
    intake_orders Int64 COMMENT 'Orders, whatever their status',
    intake_value Decimal(38, 2) COMMENT 'Sum of price times quantity over them',
    orders Int64 COMMENT 'Completed orders: delivered and not returned',
    units Int64 COMMENT 'Pieces sold in completed orders',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity over completed orders',
    cost Decimal(38, 2) COMMENT 'Sum of cost_price times quantity over completed orders',
    seconds Int64 COMMENT 'Sum of the seconds from the order to the shipping or the delivery'
)
ENGINE = SummingMergeTree
PARTITION BY if(grain = 'day', toYYYYMM(period), 0)
ORDER BY (grain, customer_id, period, sales_territory_id, shop_id, traffic_source_id, employee_id, product_id, hours, second)
COMMENT 'Sales in several grains. Several rows of one key add up: always read it with sum and GROUP BY';
