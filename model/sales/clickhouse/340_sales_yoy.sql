-- model/sales/clickhouse/340: the report sales_yoy.
-- Reads sales_fresh and the current state of shop.sales_territories and shop.shops.
--
-- Each sum counts twice: in its own period, and as "year before" in the same period a year later.
CREATE VIEW sales_yoy
(
    level String COMMENT 'What the row sums up: total, country, territory or shop',
    country Nullable(String) COMMENT 'Country of the territory, null on level total',
    sales_territory_id Nullable(Int32) COMMENT 'Territory the sales counted for, on levels territory and shop',
    territory_name Nullable(String) COMMENT 'Name of the territory today',
    shop_id Nullable(Int32) COMMENT 'Shop that took the orders, on level shop',
    shop_name Nullable(String) COMMENT 'Name of the shop today',
    period_kind String COMMENT 'month or quarter',
    period Date COMMENT 'First day of the month or quarter',
    orders UInt32 COMMENT 'Completed orders',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity over them',
    orders_year_before UInt32 COMMENT 'The same a year before',
    revenue_year_before Decimal(38, 2) COMMENT 'The same a year before, 0 when there was none',
    revenue_change Decimal(38, 2) COMMENT 'revenue minus revenue_year_before',
    revenue_change_percent Nullable(Decimal(38, 2)) COMMENT 'The change in percent of revenue_year_before. Null when that is 0',
    as_of DateTime('UTC') COMMENT 'When the report was read: periods after the current one have no row'
)
AS WITH sums AS
(
    SELECT place.1 AS level, place.2 AS country, place.3 AS territory, place.4 AS shop, kind.1 AS period_kind, side.1 AS period,
        sum(side.2) AS own_orders, sum(side.3) AS own_revenue, sum(side.4) AS before_orders, sum(side.5) AS before_revenue
    FROM
    (
        SELECT
            arrayJoin([('total', '', 0, 0), ('country', own_country, 0, 0), ('territory', own_country, sales_territory_id, 0), ('shop', own_country, sales_territory_id, shop_id)]) AS place,
            arrayJoin([('month', month), ('quarter', toStartOfQuarter(month))]) AS kind,
            arrayJoin([(kind.2, month_orders, month_revenue, 0, toDecimal128(0, 2)), (addYears(kind.2, 1), 0, toDecimal128(0, 2), month_orders, month_revenue)]) AS side
        FROM
        (
            SELECT toStartOfMonth(period) AS month, sales_territory_id, shop_id, sum(orders) AS month_orders, sum(revenue) AS month_revenue
            FROM sales_fresh
            WHERE grain = 'day'
            GROUP BY month, sales_territory_id, shop_id
            HAVING month_orders != 0
        ) AS months
        LEFT JOIN (SELECT sales_territory_id, country AS own_country FROM `shop.sales_territories.current` FINAL) AS territories USING (sales_territory_id)
    )
    GROUP BY level, country, territory, shop, period_kind, period
)
SELECT
    sums.level AS level,
    if(sums.level = 'total', NULL, sums.country) AS country,
    nullIf(sums.territory, 0) AS sales_territory_id,
    if(sums.territory = 0, NULL, names.name) AS territory_name,
    nullIf(sums.shop, 0) AS shop_id,
    if(sums.shop = 0, NULL, shops.name) AS shop_name,
    sums.period_kind AS period_kind,
    sums.period AS period,
    accurateCast(sums.own_orders, 'UInt32') AS orders,
    sums.own_revenue AS revenue,
    accurateCast(sums.before_orders, 'UInt32') AS orders_year_before,
    sums.before_revenue AS revenue_year_before,
    sums.own_revenue - sums.before_revenue AS revenue_change,
    round(toDecimal128(revenue_change * 100, 3) / nullIf(sums.before_revenue, 0), 2) AS revenue_change_percent,
    now('UTC') AS as_of
FROM sums
LEFT JOIN (SELECT sales_territory_id, name FROM `shop.sales_territories.current` FINAL) AS names ON names.sales_territory_id = sums.territory
LEFT JOIN (SELECT shop_id, name FROM `shop.shops.current` FINAL) AS shops ON shops.shop_id = sums.shop
WHERE sums.period <= if(sums.period_kind = 'month', toStartOfMonth(toDate(now(), '{time_zone}')), toStartOfQuarter(toDate(now(), '{time_zone}')))
COMMENT 'Sales by month and quarter beside the same period a year before';
