-- model/sales/clickhouse/010: completed sales by territory, customer and day, the one table both reports are made from.
-- May know: changelogs and current state of shop.orders and shop.order_items.
--
-- Every column but the key is a sum of signed images. For orders A and items B a batch adds d(A join B) = dA join B_old
-- + A_new join dB: the changelog read in a view is the block being inserted, the other side is its current state, and
-- a batch of orders is inserted before the items of the same batch. `orders` is also the row count: while a
-- completed order stands behind a row, the row is not zero and a merge cannot drop it.

CREATE TABLE sales_by_customer_day
(
    sales_territory_id Int32 COMMENT 'Territory the sale counts for',
    customer_id Int64 COMMENT 'Who ordered',
    day Date COMMENT 'Calendar day of ordered_at in the reporting time zone',
    orders Int64 COMMENT 'Completed orders: delivered and not returned',
    items Int64 COMMENT 'Pieces sold in them',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity',
    cost Decimal(38, 2) COMMENT 'Sum of cost_price times quantity'
)
ENGINE = SummingMergeTree((orders, items, revenue, cost))
ORDER BY (sales_territory_id, customer_id, day)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Completed sales by territory, customer and day. Several rows of one key add up: always read it with FINAL, or with sum and GROUP BY';

-- Orders that became or ceased to be completed, or moved to another key, with the items they had before this batch.
-- An order without items counts with revenue 0.
CREATE MATERIALIZED VIEW sales_by_customer_day_from_orders TO sales_by_customer_day AS
SELECT
    sales_territory_id,
    customer_id,
    toDate(ordered_at, '{time_zone}') AS day,
    sum(_sign) AS orders,
    sum(_sign * order_items) AS items,
    sum(_sign * order_revenue) AS revenue,
    sum(_sign * order_cost) AS cost
FROM `shop.orders.changelog`
LEFT JOIN
(
    SELECT
        order_id,
        sum(quantity) AS order_items,
        sum(quantity * toDecimal128(price, 2)) AS order_revenue,
        sum(quantity * toDecimal128(cost_price, 2)) AS order_cost
    FROM `shop.order_items.current` FINAL
    WHERE order_id IN (SELECT order_id FROM `shop.orders.changelog` WHERE status = 'delivered')
    GROUP BY order_id
) AS lines USING (order_id)
WHERE status = 'delivered'
GROUP BY sales_territory_id, customer_id, day
HAVING orders != 0 OR items != 0 OR revenue != 0 OR cost != 0;

-- Items that changed, under the order as it is after this batch. An item whose order has not arrived counts nothing
-- yet: the order brings it along when it comes.
CREATE MATERIALIZED VIEW sales_by_customer_day_from_items TO sales_by_customer_day AS
SELECT
    sales_territory_id,
    customer_id,
    toDate(ordered_at, '{time_zone}') AS day,
    toInt64(0) AS orders,
    sum(_sign * quantity) AS items,
    sum(_sign * quantity * toDecimal128(price, 2)) AS revenue,
    sum(_sign * quantity * toDecimal128(cost_price, 2)) AS cost
FROM `shop.order_items.changelog`
INNER JOIN
(
    SELECT order_id, sales_territory_id, customer_id, ordered_at
    FROM `shop.orders.current` FINAL
    WHERE status = 'delivered' AND order_id IN (SELECT order_id FROM `shop.order_items.changelog`)
) AS completed USING (order_id)
GROUP BY sales_territory_id, customer_id, day
HAVING items != 0 OR revenue != 0 OR cost != 0;
