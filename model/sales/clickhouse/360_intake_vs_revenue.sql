-- model/sales/clickhouse/360: the report intake_vs_revenue.
-- Reads sales_fresh and the current state of shop.sales_territories and shop.shops.
CREATE VIEW intake_vs_revenue
(
    level String COMMENT 'What the row sums up: country, city or shop',
    country String COMMENT 'Country of the territory that the orders count for',
    city Nullable(String) COMMENT 'City of the shop, null on level country',
    shop_id Nullable(Int32) COMMENT 'Shop that took the orders, on level shop',
    shop_name Nullable(String) COMMENT 'Name of the shop today',
    period_kind String COMMENT 'day, week or month',
    period Date COMMENT 'The day, the Monday of the week or the first day of the month',
    orders UInt32 COMMENT 'Orders, whatever their status',
    intake_value Decimal(38, 2) COMMENT 'Sum of price times quantity over them',
    completed_orders UInt32 COMMENT 'Those that are delivered and not returned',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity over the completed ones',
    drop_off_rate Nullable(Decimal(9, 4)) COMMENT '1 minus revenue by intake_value. Null when intake_value is 0'
)
AS WITH sums AS
(
    SELECT place.1 AS level, place.2 AS country, place.3 AS city, place.4 AS shop, kind.1 AS period_kind, kind.2 AS period,
        sum(own_intake) AS taken, sum(own_value) AS value, sum(own_orders) AS completed, sum(own_revenue) AS earned
    FROM
    (
        SELECT
            arrayJoin([(1, own_country, '', 0), (2, own_country, own_city, 0), (3, own_country, own_city, shop_id)]) AS place,
            kind, own_intake, own_value, own_orders, own_revenue
        FROM
        (
            SELECT
                arrayJoin([(1, period), (2, toMonday(period)), (3, toStartOfMonth(period))]) AS kind, sales_territory_id, shop_id,
                sum(intake_orders) AS own_intake, sum(intake_value) AS own_value, sum(orders) AS own_orders, sum(revenue) AS own_revenue
            FROM sales_fresh
            WHERE grain = 'day'
            GROUP BY kind, sales_territory_id, shop_id
            HAVING own_intake != 0
        ) AS periods
        LEFT JOIN (SELECT sales_territory_id, country AS own_country FROM `shop.sales_territories.current` FINAL) AS territories USING (sales_territory_id)
        LEFT JOIN (SELECT shop_id, city AS own_city FROM `shop.shops.current` FINAL) AS shops USING (shop_id)
    )
    GROUP BY level, country, city, shop, period_kind, period
)
SELECT
    transform(sums.level, [1, 2, 3], ['country', 'city', 'shop'], '') AS level,
    sums.country AS country,
    if(sums.level = 1, NULL, sums.city) AS city,
    nullIf(sums.shop, 0) AS shop_id,
    if(sums.shop = 0, NULL, names.name) AS shop_name,
    transform(sums.period_kind, [1, 2, 3], ['day', 'week', 'month'], '') AS period_kind,
    sums.period AS period,
    accurateCast(sums.taken, 'UInt32') AS orders,
    sums.value AS intake_value,
    accurateCast(sums.completed, 'UInt32') AS completed_orders,
    sums.earned AS revenue,
    round(toDecimal128(sums.value - sums.earned, 5) / nullIf(sums.value, 0), 4) AS drop_off_rate
FROM sums
LEFT JOIN (SELECT shop_id, name FROM `shop.shops.current` FINAL) AS names ON names.shop_id = sums.shop
COMMENT 'What was ordered beside what became revenue, by place and period';
