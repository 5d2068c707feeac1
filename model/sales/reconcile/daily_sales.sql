-- model/sales/reconcile: what daily_sales must hold, recomputed from current state.
-- May know: current state of shop.orders and shop.order_items. Key: date.
SELECT
    toDate(ordered_at, '{time_zone}') AS date,
    toInt64(count()) AS orders,
    toInt64(sum(order_items)) AS items,
    sum(order_revenue) AS revenue,
    sum(order_cost) AS cost
FROM (SELECT order_id, ordered_at FROM `shop.orders.current` FINAL WHERE status = 'delivered') AS completed
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
GROUP BY date
