-- model/sales/clickhouse/030: the report territory_top_customers.
-- May know: 010_sales_by_customer_day, current state of shop.customers and shop.sales_territories.
--
-- Dates and averages are no sums, so they are derived when asked for: a day counts while orders stand behind it. Names are
-- joined from the left: a customer whose row is still on its way is ranked all the same, with an empty name.
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
AS SELECT
    ranked.sales_territory_id AS sales_territory_id,
    territories.name AS territory_name,
    ranked.position AS `rank`,
    ranked.customer_id AS customer_id,
    customers.full_name AS customer_name,
    ranked.purchases AS orders,
    ranked.amount AS revenue,
    round(toDecimal64(ranked.last_day - ranked.first_day, 3) / nullIf(ranked.purchases - 1, 0), 2) AS avg_days_between_purchases,
    round(toDecimal128(ranked.amount, 3) / ranked.purchases, 2) AS average_purchase_price
FROM
(
    SELECT
        *,
        row_number() OVER (PARTITION BY sales_territory_id ORDER BY amount DESC, customer_id) AS position
    FROM
    (
        SELECT
            sales_territory_id,
            customer_id,
            sum(day_orders) AS purchases,
            sum(day_revenue) AS amount,
            min(day) AS first_day,
            max(day) AS last_day
        FROM
        (
            SELECT sales_territory_id, customer_id, day, orders AS day_orders, revenue AS day_revenue
            FROM sales_by_customer_day FINAL
            WHERE orders != 0
        )
        GROUP BY sales_territory_id, customer_id
        ORDER BY sales_territory_id, amount DESC, customer_id
        LIMIT 100 BY sales_territory_id
    )
) AS ranked
LEFT JOIN (SELECT sales_territory_id, name FROM `shop.sales_territories.current` FINAL) AS territories
    ON territories.sales_territory_id = ranked.sales_territory_id
LEFT JOIN (SELECT customer_id, full_name FROM `shop.customers.current` FINAL) AS customers
    ON customers.customer_id = ranked.customer_id
COMMENT 'The 100 best customers of every territory';
