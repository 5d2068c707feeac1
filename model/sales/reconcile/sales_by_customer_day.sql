-- model/sales/reconcile: what sales_by_customer_day must hold, recomputed from current state.
-- May know: current state of shop.orders and shop.order_items. Key: sales_territory_id, customer_id, day.
SELECT
    sales_territory_id,
    customer_id,
    toDate(ordered_at, '{time_zone}') AS day,
    toInt64(count()) AS orders,
    toInt64(sum(order_items)) AS items,
    sum(order_revenue) AS revenue,
    sum(order_cost) AS cost
FROM (SELECT order_id, sales_territory_id, customer_id, ordered_at FROM `shop.orders.current` FINAL WHERE status = 'delivered') AS completed
LEFT JOIN
(
    SELECT
        order_id,
        sum(quantity) AS order_items,
        sum(quantity * toDecimal128(price, 2)) AS order_revenue,
        sum(quantity * toDecimal128(cost_price, 2)) AS order_cost
    FROM `shop.order_items.current` FINAL
    GROUP BY order_id
) AS lines USING (order_id)
GROUP BY sales_territory_id, customer_id, day
