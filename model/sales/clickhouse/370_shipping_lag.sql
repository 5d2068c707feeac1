-- model/sales/clickhouse/370: the report shipping_lag.
-- Reads sales_cube and the current state of shop.shops.
--
-- Medians and percentiles are read from counts per whole hour, which add up and cancel like any
-- sum. A percentile is the smallest number of hours that at least that share of the orders did not
-- exceed, as in Postgres' percentile_disc. quantilesExactWeighted adds up the weights of equal
-- hours as unsigned 64-bit numbers. A weight of -1 still subtracts one there, because the sum is
-- never negative.
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
    SELECT grain, shop_id, period AS week, hours, intake_orders AS n, seconds AS total
    FROM sales_cube
    WHERE grain IN ('shipped', 'delivered')
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
),
sums AS
(
    SELECT
        shop_id,
        week,
        sumIf(n, grain = 'shipped') AS shipped,
        sumIf(total, grain = 'shipped') AS seconds_to_ship,
        quantilesExactWeightedIf(0.5, 0.95)(hours, toUInt64(n), grain = 'shipped') AS hours_to_ship,
        sumIf(n, grain = 'delivered') AS delivered,
        sumIf(total, grain = 'delivered') AS seconds_to_deliver,
        quantilesExactWeightedIf(0.5, 0.95)(hours, toUInt64(n), grain = 'delivered') AS hours_to_deliver,
        sumIf(n, grain = 'open') AS waiting,
        sumIf(total, grain = 'open') AS seconds_waiting,
        maxIf(hours, grain = 'open') AS longest
    FROM lags
    GROUP BY shop_id, week
    HAVING shipped != 0 OR delivered != 0 OR waiting != 0
)
SELECT
    sums.shop_id AS shop_id,
    shops.name AS shop_name,
    shops.city AS city,
    sums.week AS week,
    accurateCast(sums.shipped, 'UInt32') AS shipped_orders,
    round(toDecimal128(sums.seconds_to_ship, 3) / nullIf(sums.shipped * 3600, 0), 2) AS avg_hours_to_ship,
    if(sums.shipped = 0, NULL, sums.hours_to_ship[1]) AS median_hours_to_ship,
    if(sums.shipped = 0, NULL, sums.hours_to_ship[2]) AS p95_hours_to_ship,
    accurateCast(sums.delivered, 'UInt32') AS delivered_orders,
    round(toDecimal128(sums.seconds_to_deliver, 3) / nullIf(sums.delivered * 3600, 0), 2) AS avg_hours_to_deliver,
    if(sums.delivered = 0, NULL, sums.hours_to_deliver[1]) AS median_hours_to_deliver,
    if(sums.delivered = 0, NULL, sums.hours_to_deliver[2]) AS p95_hours_to_deliver,
    accurateCast(sums.waiting, 'UInt32') AS open_orders,
    if(sums.waiting = 0, NULL, sums.longest) AS oldest_open_hours,
    round(toDecimal128(sums.seconds_waiting, 3) / nullIf(sums.waiting * 3600, 0), 2) AS avg_open_hours,
    now('UTC') AS as_of
FROM sums
LEFT JOIN (SELECT shop_id, name, city FROM `shop.shops.current` FINAL) AS shops ON shops.shop_id = sums.shop_id
COMMENT 'How long orders take to be shipped and delivered, by shop and week of the order, and how old the open ones are';
