-- model/sales/clickhouse/330: the report territory_top_customers.
-- Reads sales_fresh and the current state of shop.customers and shop.sales_territories.
--
-- A place in the ranking is one number, as in 320: the amount in cents, negative so that the
-- largest comes first, above 64 bits with the customer. The first and last day are no sums.
-- Therefore they are looked up, with the number of orders, only for the ranked customers, in the
-- days that have orders. Every ranked customer has such a day, so an inner join loses nobody.
-- Names come by a left join: a customer whose row has not arrived is ranked with an empty name.
CREATE VIEW territory_top_customers
(
    sales_territory_id Int32 COMMENT 'Territory the sales counted for',
    territory_name String COMMENT 'Name of the territory today',
    `rank` UInt32 COMMENT '1 to 100: by revenue, highest first, then by customer_id',
    customer_id Int64 COMMENT 'Who ordered',
    customer_name String COMMENT 'Name of the customer today',
    orders UInt32 COMMENT 'Completed orders of the customer in the territory',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity over them',
    avg_days_between_purchases Nullable(Decimal(15, 2)) COMMENT 'Days from first to last purchase by orders minus 1, rounded half away from zero. Null with one purchase',
    average_purchase_price Decimal(38, 2) COMMENT 'revenue by orders, rounded half away from zero'
)
AS WITH ranked AS
(
    SELECT
        sales_territory_id, position,
        toInt64(place) AS customer_id,
        toDecimal128(toInt128(bitShiftRight(customer_id - place, 64)), 2) / 100 AS amount
    FROM
    (
        SELECT sales_territory_id, groupArraySorted(100)(bitShiftLeft(-toInt256(amount * 100), 64) + customer_id) AS places
        FROM
        (
            SELECT sales_territory_id, customer_id, sum(revenue) AS amount
            FROM sales_fresh
            WHERE grain = 'customer'
            GROUP BY sales_territory_id, customer_id
            HAVING sum(orders) != 0
        )
        GROUP BY sales_territory_id
    )
    ARRAY JOIN places AS place, arrayEnumerate(places) AS position
),
spans AS
(
    SELECT sales_territory_id, customer_id, position, amount, sum(orders_of_day) AS purchases, max(day) - min(day) AS days
    FROM
    (
        SELECT sales_territory_id, customer_id, position, amount, period AS day, sum(orders) AS orders_of_day
        FROM sales_fresh
        INNER JOIN ranked USING (sales_territory_id, customer_id)
        WHERE grain = 'customer_day'
        GROUP BY ALL
        HAVING orders_of_day != 0
    )
    GROUP BY ALL
)
SELECT
    spans.sales_territory_id AS sales_territory_id,
    territories.name AS territory_name,
    spans.position AS `rank`,
    spans.customer_id AS customer_id,
    customers.full_name AS customer_name,
    accurateCast(spans.purchases, 'UInt32') AS orders,
    spans.amount AS revenue,
    round(toDecimal64(spans.days, 3) / nullIf(spans.purchases - 1, 0), 2) AS avg_days_between_purchases,
    round(toDecimal128(spans.amount, 3) / spans.purchases, 2) AS average_purchase_price
FROM spans
LEFT JOIN (SELECT sales_territory_id, name FROM `shop.sales_territories.current` FINAL) AS territories
    ON territories.sales_territory_id = spans.sales_territory_id
LEFT JOIN (SELECT customer_id, full_name FROM `shop.customers.current` FINAL) AS customers
    ON customers.customer_id = spans.customer_id
COMMENT 'The 100 best customers of every territory';
