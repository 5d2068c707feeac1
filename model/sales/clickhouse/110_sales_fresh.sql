-- model/sales/clickhouse/110: sales_fresh, sums over orders by day, by second and by customer.
-- It is folded most often (model.yaml, `fresh`), since these numbers are asked for as of now.
--
--   grain           dimensions                             answers
--   day             day, territory, shop, traffic source   sales by day, month, quarter; drop-off
--   second          day, second, territory                 the last hour, the last minute
--   customer        territory, customer                    best customers
--   customer_day    day, territory, customer               first, last and repeated purchases
--
-- It is read like 100.
CREATE TABLE sales_fresh
(
    grain LowCardinality(String) COMMENT 'Which dimensions the row has, the others are 0',
    period Date COMMENT 'Day of ordered_at in the reporting time zone, or 1970-01-01 where the grain has none',
    sales_territory_id Int32 COMMENT 'Territory the sale counts for',
    shop_id Int32 COMMENT 'Shop that took the order',
    traffic_source_id Int32 COMMENT 'Where the customer came from, 0 in a physical shop',
    customer_id Int64 COMMENT 'Who ordered',
    second DateTime('UTC') COMMENT 'ordered_at, cut off to the second',
    intake_orders Int64 COMMENT 'Orders, whatever their status',
    intake_value Decimal(38, 2) COMMENT 'Sum of price times quantity over them',
    orders Int64 COMMENT 'Completed orders: delivered and not returned',
    units Int64 COMMENT 'Pieces sold in completed orders',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity over completed orders',
    cost Decimal(38, 2) COMMENT 'Sum of cost_price times quantity over completed orders'
)
ENGINE = SummingMergeTree
ORDER BY (grain, customer_id, period, sales_territory_id, shop_id, traffic_source_id, second)
COMMENT 'Sales by day, second and customer. Several rows of one key add up: always read it with sum and GROUP BY';

-- What rows contribute, as in 100.
CREATE VIEW `sales_fresh.contributions` AS
SELECT
    cell.1 AS grain,
    cell.2 AS period,
    cell.3 AS sales_territory_id,
    cell.4 AS shop_id,
    cell.5 AS traffic_source_id,
    cell.6 AS customer_id,
    cell.7 AS second,
    sum(_sign * cell.8) AS intake_orders,
    sum(_sign * cell.8 * order_value) AS intake_value,
    sum(_sign * completed) AS orders,
    sum(_sign * completed * order_units) AS units,
    sum(_sign * completed * order_value) AS revenue,
    sum(_sign * completed * order_cost) AS cost
FROM
(
    SELECT
        _sign,
        status = 'delivered' AS completed,
        order_units,
        order_value,
        order_cost,
        toDate(ordered_at, '{time_zone}') AS day,
        toDateTime(0, 'UTC') AS never,
        arrayJoin(arrayConcat(
            -- In order: grain, period, territory, shop, source, customer, second, and whether the
            -- intake counts.
            [('day',             day,       sales_territory_id, shop_id, ifNull(traffic_source_id, 0), 0, never, 1),
             ('second',          day,       sales_territory_id, 0,       0,        0,           toDateTime(ordered_at, 'UTC'), 1)],
            if(completed,
            [('customer',        toDate(0), sales_territory_id, 0,       0,        customer_id, never, 0),
             ('customer_day',    day,       sales_territory_id, 0,       0,        customer_id, never, 0)], [])
        )) AS cell
    FROM `shop.orders.rows`
    LEFT JOIN
    (
        SELECT
            order_id,
            _sign,
            sum(quantity) AS order_units,
            sum(quantity * toDecimal128(price, 2)) AS order_value,
            sum(quantity * toDecimal128(cost_price, 2)) AS order_cost
        FROM `shop.order_items.rows`
        GROUP BY order_id, _sign
    ) AS items USING (order_id, _sign)
)
GROUP BY cell
HAVING intake_orders != 0 OR intake_value != 0 OR orders != 0 OR units != 0 OR revenue != 0 OR cost != 0;
