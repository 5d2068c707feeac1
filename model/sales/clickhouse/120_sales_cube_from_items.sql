-- model/sales/clickhouse/120: changed items, with the orders as of after this batch.
-- Reads the changelog of shop.order_items and the current state of shop.orders.
--
-- This is the second term of 110, for the grains that have values. Orders are counted in 110. An
-- item whose order has not arrived yet counts nothing: 110 counts it when the order arrives.
CREATE MATERIALIZED VIEW sales_cube_from_items TO sales_cube AS
SELECT
    cell.1 AS grain,
    cell.2 AS period,
    cell.3 AS sales_territory_id,
    cell.4 AS shop_id,
    cell.5 AS traffic_source_id,
    cell.6 AS employee_id,
    cell.7 AS customer_id,
    cell.8 AS product_id,
    toInt32(0) AS hours,
    cell.9 AS second,
    toInt64(0) AS intake_orders,
    sum(_sign) * cell.10 AS intake_value,
    toInt64(0) AS orders,
    sum(_sign) * cell.11 AS units,
    sum(_sign) * cell.12 AS revenue,
    sum(_sign) * cell.13 AS cost,
    toInt64(0) AS seconds
FROM
(
    SELECT
        _sign,
        toDate(ordered_at, '{time_zone}') AS day,
        toStartOfMonth(day) AS month,
        toDate(0) AS ever,
        toDateTime(ordered_at, 'UTC') AS at,
        toDateTime(0, 'UTC') AS never,
        sales_territory_id AS territory,
        shop_id AS shop,
        ifNull(traffic_source_id, 0) AS source,
        ifNull(employee_id, 0) AS employee,
        customer_id AS customer,
        product_id AS product,
        status = 'delivered' AS completed,
        quantity * toDecimal128(price, 2) AS value,
        quantity * toDecimal128(cost_price, 2) AS line_cost,
        toDecimal128(0, 2) AS nil,
        arrayJoin(arrayConcat(
            -- In order: grain, period, territory, shop, source, employee, customer, product,
            -- second, the value of the intake, then units, revenue and cost of completed orders.
            [('day',             day,   territory, shop, source, 0,        0,        0,       never,  value,        completed * quantity, completed * value, completed * line_cost),
             ('second',          day,   territory, 0,    0,      0,        0,        0,       at,     value,        completed * quantity, completed * value, completed * line_cost)],
            if(completed,
            [('customer',        ever,  territory, 0,    0,      0,        customer, 0,       never,  nil,          quantity, value, line_cost),
             ('product_month',   month, territory, 0,    0,      0,        0,        product, never,  nil,          quantity, value, line_cost)], []),
            if(completed AND employee != 0,
            [('employee',        ever,  territory, 0,    0,      employee, 0,        product, never,  nil,          quantity, value, line_cost),
             ('employee_month',  month, 0,         0,    0,      employee, 0,        product, never,  nil,          quantity, value, line_cost)], [])
        )) AS cell
    FROM `shop.order_items.changelog`
    INNER JOIN
    (
        SELECT order_id, sales_territory_id, shop_id, traffic_source_id, employee_id, customer_id, status, ordered_at
        FROM `shop.orders.current` FINAL
        WHERE order_id IN (SELECT order_id FROM `shop.order_items.changelog`)
    ) AS orders_of_items USING (order_id)
)
GROUP BY cell
HAVING sum(_sign) != 0;
