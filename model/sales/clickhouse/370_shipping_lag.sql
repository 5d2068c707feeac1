-- model/sales/clickhouse/370: the report shipping_lag.
-- May know: 100_sales_cube, current state of shop.shops.
--
-- Medians and percentiles are read from counts per whole hour, which retract like any sum: the smallest number of hours that at least
-- that share of the orders did not exceed, as Postgres' percentile_disc.
CREATE VIEW shipping_lag
(
    shop_id Int32 COMMENT 'Shop that took the orders',
    shop_name String COMMENT 'Name of the shop today',
    city String COMMENT 'City of the shop today',
    week Date COMMENT 'Monday of the week of ordered_at',
    shipped_orders UInt32 COMMENT 'Orders that have been shipped, those delivered or returned since included',
    avg_hours_to_ship Nullable(Decimal(15, 2)) COMMENT 'Mean time from the order to the shipping',
    median_hours_to_ship Nullable(Int32) COMMENT 'Whole hours that half of them did not exceed',
    p95_hours_to_ship Nullable(Int32) COMMENT 'Whole hours that 95 percent of them did not exceed',
    delivered_orders UInt32 COMMENT 'Orders that have been delivered, those returned since included',
    avg_hours_to_deliver Nullable(Decimal(15, 2)) COMMENT 'Mean time from the order to the delivery',
    median_hours_to_deliver Nullable(Int32) COMMENT 'Whole hours that half of them did not exceed',
    p95_hours_to_deliver Nullable(Int32) COMMENT 'Whole hours that 95 percent of them did not exceed',
    open_orders UInt32 COMMENT 'Orders that wait to be paid or shipped',
    oldest_open_hours Nullable(Int32) COMMENT 'Whole hours since the oldest of them was placed',
    avg_open_hours Nullable(Decimal(15, 2)) COMMENT 'Mean time since they were placed',
    as_of DateTime('UTC') COMMENT 'When the report was read: the age of open orders is counted up to here'
)
AS WITH lags AS
(
    SELECT grain, shop_id, period AS week, hours, sum(intake_orders) AS n, sum(sales_cube.seconds) AS total
    FROM sales_cube
    WHERE grain IN ('shipped', 'delivered')
    GROUP BY grain, shop_id, week, hours
    HAVING n != 0
    UNION ALL
    SELECT
        grain,
        shop_id,
        toMonday(toDate(second, '{time_zone}')) AS week,
        toInt32(floor(dateDiff('second', second, now()) / 3600)) AS hours,
        sum(intake_orders) AS n,
        sum(intake_orders * dateDiff('second', second, now())) AS total
    FROM sales_cube
    WHERE grain = 'open'
    GROUP BY grain, shop_id, week, second
    HAVING n != 0
)
SELECT
    lags.shop_id AS shop_id,
    any(shops.name) AS shop_name,
    any(shops.city) AS city,
    lags.week AS week,
    sumIf(n, grain = 'shipped') AS shipped_orders,
    round(toDecimal128(sumIf(total, grain = 'shipped'), 3) / nullIf(shipped_orders * 3600, 0), 2) AS avg_hours_to_ship,
    if(shipped_orders = 0, NULL, quantileExactWeightedIf(0.5)(hours, toUInt64(n), grain = 'shipped')) AS median_hours_to_ship,
    if(shipped_orders = 0, NULL, quantileExactWeightedIf(0.95)(hours, toUInt64(n), grain = 'shipped')) AS p95_hours_to_ship,
    sumIf(n, grain = 'delivered') AS delivered_orders,
    round(toDecimal128(sumIf(total, grain = 'delivered'), 3) / nullIf(delivered_orders * 3600, 0), 2) AS avg_hours_to_deliver,
    if(delivered_orders = 0, NULL, quantileExactWeightedIf(0.5)(hours, toUInt64(n), grain = 'delivered')) AS median_hours_to_deliver,
    if(delivered_orders = 0, NULL, quantileExactWeightedIf(0.95)(hours, toUInt64(n), grain = 'delivered')) AS p95_hours_to_deliver,
    sumIf(n, grain = 'open') AS open_orders,
    if(open_orders = 0, NULL, maxIf(hours, grain = 'open')) AS oldest_open_hours,
    round(toDecimal128(sumIf(total, grain = 'open'), 3) / nullIf(open_orders * 3600, 0), 2) AS avg_open_hours,
    now('UTC') AS as_of
FROM lags
LEFT JOIN (SELECT shop_id, name, city FROM `shop.shops.current` FINAL) AS shops ON shops.shop_id = lags.shop_id
GROUP BY lags.shop_id, lags.week
COMMENT 'How long orders take to be shipped and delivered, by shop and week of the order, and how old the open ones are';
