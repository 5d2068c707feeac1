-- model/sales/clickhouse/100: sales_cube, sums over orders that the reports on products, staff and
-- shipping read.
--
-- One table holds several grains, as materialised GROUPING SETS would. `grain` names the set.
-- A dimension that is not in the set is 0. It is one table because each aggregate costs the same
-- look-ups again in every fold. The grains that people look at first are in 110, so that a fold of
-- them stays cheap.
--
--   grain           dimensions                             answers
--   open            shop, second                           unshipped orders and their age
--   shipped         week, shop, hours                      time to ship: average, median, p95
--   delivered       week, shop, hours                      time to deliver
--   product_month   month, territory, product              best sellers, categories
--   employee        territory, employee, product           best sellers among the staff, all time
--   employee_month  month, employee, product               the same by period
--
-- A fold adds what the new rows contribute and subtracts what the old rows contributed. A row whose
-- measures are all 0 is dropped. Several rows of one key add up: read the table with sum and
-- GROUP BY, and leave out what sums up to 0.
CREATE TABLE sales_cube
(
    grain LowCardinality(String) COMMENT 'Which dimensions the row has, the others are 0',
    period Date COMMENT 'Monday of the week or first day of the month of ordered_at in the reporting time zone, or 1970-01-01 where the grain has none',
    sales_territory_id Int32 COMMENT 'Territory the sale counts for',
    shop_id Int32 COMMENT 'Shop that took the order',
    employee_id Int32 COMMENT 'Who sold it, 0 for nobody',
    product_id Int32 COMMENT 'What was sold',
    hours Int32 COMMENT 'Whole hours from the order to the shipping or the delivery',
    second DateTime('UTC') COMMENT 'ordered_at, cut off to the second',
    intake_orders Int64 COMMENT 'Orders, whatever their status',
    units Int64 COMMENT 'Pieces sold in completed orders',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity over completed orders',
    cost Decimal(38, 2) COMMENT 'Sum of cost_price times quantity over completed orders',
    seconds Int64 COMMENT 'Sum of the seconds from the order to the shipping or the delivery'
)
ENGINE = SummingMergeTree
ORDER BY (grain, period, sales_territory_id, shop_id, employee_id, product_id, hours, second)
COMMENT 'Sales in several grains. Several rows of one key add up: always read it with sum and GROUP BY';

-- What rows contribute. A row of an old state has _sign -1, a row of a new one +1. So _sign belongs
-- to each join and each group of rows like a part of the key, and each measure is multiplied by it.
CREATE VIEW `sales_cube.contributions` AS
SELECT
    cell.1 AS grain,
    cell.2 AS period,
    cell.3 AS sales_territory_id,
    cell.4 AS shop_id,
    cell.5 AS employee_id,
    cell.6 AS product_id,
    cell.7 AS hours,
    cell.8 AS second,
    sum(_sign) * cell.9 AS intake_orders,
    sum(_sign) * cell.10 AS units,
    sum(_sign) * cell.11 AS revenue,
    sum(_sign) * cell.12 AS cost,
    sum(_sign) * cell.13 AS seconds
FROM
(
    SELECT
        _sign,
        toDate(ordered_at, '{time_zone}') AS day,
        toMonday(day) AS week,
        toStartOfMonth(day) AS month,
        toDate(0) AS ever,
        toDateTime(ordered_at, 'UTC') AS at,
        toDateTime(0, 'UTC') AS never,
        sales_territory_id AS territory,
        shop_id AS shop,
        ifNull(employee_id, 0) AS employee,
        if(status = 'delivered', lines, []) AS sold,
        if(employee != 0, sold, []) AS sold_by_staff,
        ifNull(dateDiff('second', ordered_at, shipped_at), 0) AS to_ship,
        ifNull(dateDiff('second', ordered_at, delivered_at), 0) AS to_deliver,
        toDecimal128(0, 2) AS nil,
        arrayJoin(arrayConcat(
            -- In order: grain, period, territory, shop, employee, product, hours, second, then
            -- orders, then units, revenue and cost of completed orders, then seconds.
            if(status IN ('created', 'paid'),
            [('open',            ever,  0,         shop, 0,        0,       0, at,    1, 0, nil, nil, 0)], []),
            if(shipped_at IS NOT NULL,
            [('shipped',         week,  0,         shop, 0,        0,       toInt32(floor(to_ship / 3600)), never, 1, 0, nil, nil, to_ship)], []),
            if(delivered_at IS NOT NULL,
            [('delivered',       week,  0,         shop, 0,        0,       toInt32(floor(to_deliver / 3600)), never, 1, 0, nil, nil, to_deliver)], []),
            arrayMap(line ->
             ('product_month',   month, territory, 0,    0,        line.1,  0, never, 0, line.2, line.3, line.4, 0), sold),
            arrayMap(line ->
             ('employee',        ever,  territory, 0,    employee, line.1,  0, never, 0, line.2, line.3, line.4, 0), sold_by_staff),
            arrayMap(line ->
             ('employee_month',  month, 0,         0,    employee, line.1,  0, never, 0, line.2, line.3, line.4, 0), sold_by_staff)
        )) AS cell
    FROM `shop.orders.rows`
    LEFT JOIN
    (
        SELECT
            order_id,
            _sign,
            groupArray((product_id, quantity, quantity * toDecimal128(price, 2), quantity * toDecimal128(cost_price, 2))) AS lines
        FROM `shop.order_items.rows`
        GROUP BY order_id, _sign
    ) AS items USING (order_id, _sign)
)
GROUP BY cell
HAVING sum(_sign) != 0;
