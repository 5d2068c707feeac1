-- model/sales/clickhouse/330: the report territory_top_customers.
-- May know: 100_sales_cube, current state of shop.customers and shop.sales_territories.
--
-- First and last day are no sums, so they are looked up for the customers that made it into the ranking, in days that have orders
-- behind them. Names are joined from the left: a customer whose row is still on its way is ranked all the same, with an empty name.
CREATE VIEW territory_top_customers
(
    sales_territory_id Int32 COMMENT 'Territory the sales counted for',
    territory_name String COMMENT 'Name of the territory today',
    `rank` UInt32 COMMENT '1 to 100: by revenue, highest first, then by customer_id',
    customer_id Int64 COMMENT 'Who ordered',
    customer_name String COMMENT 'Name of the customer today',
    orders UInt32 COMMENT 'Completed orders of the customer in the territory',
    revenue Decimal(15, 2) COMMENT 'Sum of price times quantity over them',
    avg_days_between_purchases Nullable(Decimal(15, 2)) COMMENT 'Days from first to last purchase by orders minus 1, rounded half away from zero. Null with one purchase',
    average_purchase_price Decimal(15, 2) COMMENT 'revenue by orders, rounded half away from zero'
)
AS WITH ranked AS
(
    SELECT *, row_number() OVER (PARTITION BY sales_territory_id ORDER BY amount DESC, customer_id) AS position
    FROM
    (
        SELECT sales_territory_id, customer_id, sum(orders) AS purchases, sum(revenue) AS amount
        FROM sales_cube
        WHERE grain = 'customer'
        GROUP BY sales_territory_id, customer_id
        HAVING purchases != 0
        ORDER BY sales_territory_id, amount DESC, customer_id
        LIMIT 100 BY sales_territory_id
    )
),
days AS
(
    SELECT sales_territory_id, customer_id, min(period) AS first_day, max(period) AS last_day
    FROM
    (
        SELECT sales_territory_id, customer_id, period
        FROM sales_cube
        WHERE grain = 'customer_day' AND customer_id IN (SELECT customer_id FROM ranked)
        GROUP BY sales_territory_id, customer_id, period
        HAVING sum(orders) != 0
    )
    GROUP BY sales_territory_id, customer_id
)
SELECT
    ranked.sales_territory_id AS sales_territory_id,
    territories.name AS territory_name,
    ranked.position AS `rank`,
    ranked.customer_id AS customer_id,
    customers.full_name AS customer_name,
    ranked.purchases AS orders,
    ranked.amount AS revenue,
    round(toDecimal64(days.last_day - days.first_day, 3) / nullIf(ranked.purchases - 1, 0), 2) AS avg_days_between_purchases,
    round(toDecimal128(ranked.amount, 3) / ranked.purchases, 2) AS average_purchase_price
FROM ranked
INNER JOIN days ON days.sales_territory_id = ranked.sales_territory_id AND days.customer_id = ranked.customer_id
LEFT JOIN (SELECT sales_territory_id, name FROM `shop.sales_territories.current` FINAL) AS territories
    ON territories.sales_territory_id = ranked.sales_territory_id
LEFT JOIN (SELECT customer_id, full_name FROM `shop.customers.current` FINAL) AS customers
    ON customers.customer_id = ranked.customer_id
COMMENT 'The 100 best customers of every territory';
