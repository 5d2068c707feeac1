-- model/sales/clickhouse/110: changed orders, with the items as of before this batch.
-- Reads the changelog of shop.orders and the current state of shop.order_items.
--
-- For orders A and items B a batch adds d(A join B) = dA join B_old + A_new join dB. This view is
-- the first term, 120 is the second. In a view the changelog is the block that is being inserted,
-- and the other side is its current state. With every order read as a new one, this view yields the
-- whole cube. The cube is recomputed that way (model.yaml, `recompute`).
--
-- Items are looked up only for orders whose change moves a value. When an order only goes from
-- created to paid, both of its images are counted without items, and they cancel exactly as they
-- would with items. So every column that decides where a value is counted must be compared here.
CREATE MATERIALIZED VIEW sales_cube_from_orders TO sales_cube AS
SELECT
    cell.1 AS grain,
    cell.2 AS period,
    cell.3 AS sales_territory_id,
    cell.4 AS shop_id,
    cell.5 AS traffic_source_id,
    cell.6 AS employee_id,
    cell.7 AS customer_id,
    cell.8 AS product_id,
    cell.9 AS hours,
    cell.10 AS second,
    sum(_sign) * cell.11 AS intake_orders,
    sum(_sign) * cell.12 AS intake_value,
    sum(_sign) * cell.13 AS orders,
    sum(_sign) * cell.14 AS units,
    sum(_sign) * cell.15 AS revenue,
    sum(_sign) * cell.16 AS cost,
    sum(_sign) * cell.17 AS seconds
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
        ifNull(traffic_source_id, 0) AS source,
        ifNull(employee_id, 0) AS employee,
        customer_id AS customer,
        status = 'delivered' AS completed,
        dateDiff('second', ordered_at, shipped_at) AS to_ship,
        dateDiff('second', ordered_at, delivered_at) AS to_deliver,
        toDecimal128(0, 2) AS nil,
        arrayJoin(arrayConcat(
            -- In order: grain, period, territory, shop, source, employee, customer, product, hours,
            -- second, then orders and value of the intake, then orders, units, revenue and cost of
            -- completed orders, then seconds.
            [('day',             day,   territory, shop, source, 0,        0,        0,       0,     never,  1, order_value,        completed, completed * order_units, completed * order_value, completed * order_cost, 0),
             ('second',          day,   territory, 0,    0,      0,        0,        0,       0,     at,     1, order_value,        completed, completed * order_units, completed * order_value, completed * order_cost, 0)],
            if(status IN ('created', 'paid'),
            [('open',            ever,  0,         shop, 0,      0,        0,        0,       0,     at,     1, nil,                0, 0, nil, nil, 0)], []),
            if(shipped_at IS NOT NULL,
            [('shipped',         week,  0,         shop, 0,      0,        0,        0,       floor(to_ship / 3600), never, 1, nil,  0, 0, nil, nil, to_ship)], []),
            if(delivered_at IS NOT NULL,
            [('delivered',       week,  0,         shop, 0,      0,        0,        0,       floor(to_deliver / 3600), never, 1, nil, 0, 0, nil, nil, to_deliver)], []),
            if(completed,
            [('customer',        ever,  territory, 0,    0,      0,        customer, 0,       0,     never,  0, nil,                1, order_units, order_value, order_cost, 0),
             ('customer_day',    day,   territory, 0,    0,      0,        customer, 0,       0,     never,  0, nil,                1, 0, nil, nil, 0)], []),
            arrayMap(line ->
             ('product_month',   month, territory, 0,    0,      0,        0,        line.1,  0,     never,  0, nil,                0, line.2, line.3, line.4, 0), if(completed, lines, [])),
            arrayMap(line ->
             ('employee',        ever,  territory, 0,    0,      employee, 0,        line.1,  0,     never,  0, nil,                0, line.2, line.3, line.4, 0), if(completed AND employee != 0, lines, [])),
            arrayMap(line ->
             ('employee_month',  month, 0,         0,    0,      employee, 0,        line.1,  0,     never,  0, nil,                0, line.2, line.3, line.4, 0), if(completed AND employee != 0, lines, []))
        )) AS cell
    FROM `shop.orders.changelog`
    LEFT JOIN
    (
        SELECT
            order_id,
            groupArray((product_id, quantity, quantity * toDecimal128(price, 2) AS value, quantity * toDecimal128(cost_price, 2) AS line_cost)) AS lines,
            sum(quantity) AS order_units,
            sum(value) AS order_value,
            sum(line_cost) AS order_cost
        FROM `shop.order_items.current` FINAL
        WHERE order_id IN
        (
            SELECT order_id
            FROM `shop.orders.changelog`
            GROUP BY order_id, ordered_at, sales_territory_id, shop_id, traffic_source_id, customer_id, status = 'delivered', if(status = 'delivered', employee_id, NULL)
            HAVING sum(_sign) != 0
        )
        GROUP BY order_id
    ) AS items USING (order_id)
)
GROUP BY cell
HAVING sum(_sign) != 0;
