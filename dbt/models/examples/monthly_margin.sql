-- Revenue and margin of each category by month, from the star schema.
SELECT
    dates.first_of_month AS month,
    products.category AS category,
    sum(items.revenue) AS revenue,
    sum(items.profit) AS profit,
    round(toDecimal128(profit, 5) / nullIf(revenue, 0), 4) AS margin
FROM {{ source('mart', 'fact_order_items') }} AS items
JOIN {{ source('mart', 'dim_date') }} AS dates ON dates.date = items.order_date
JOIN {{ source('mart', 'dim_product') }} AS products ON products.product_key = items.product_key
WHERE items.is_completed
GROUP BY month, category
