-- Every customer who has bought, with recency, frequency and value, for a segmentation.
SELECT
    facts.customer_id AS customer_id,
    any(customers.country) AS country,
    min(facts.order_date) AS first_order,
    max(facts.order_date) AS last_order,
    dateDiff('day', last_order, today()) AS days_since_last_order,
    count() AS orders,
    sum(facts.revenue) AS revenue
FROM {{ source('mart', 'fact_orders') }} AS facts
JOIN {{ source('mart', 'dim_customer') }} AS customers ON customers.customer_key = facts.customer_current_key
WHERE facts.is_completed
GROUP BY customer_id
