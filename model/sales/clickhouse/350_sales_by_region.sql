-- model/sales/clickhouse/350: the report sales_by_region.
-- Reads sales_fresh and the current state of shop.sales_territories.
CREATE VIEW sales_by_region
(
    country String COMMENT 'Country of the territories',
    region String COMMENT 'Region of the territories',
    as_of DateTime('UTC') COMMENT 'When the report was read: today, the last hour and the last minute end here',
    orders_today UInt32 COMMENT 'Orders of the calendar day in the reporting time zone, whatever their status',
    intake_value_today Decimal(38, 2) COMMENT 'Sum of price times quantity over them',
    revenue_today Decimal(38, 2) COMMENT 'The same over those that are completed',
    orders_last_hour UInt32 COMMENT 'Orders of the 60 minutes up to as_of, whatever their status',
    intake_value_last_hour Decimal(38, 2) COMMENT 'Sum of price times quantity over them',
    revenue_last_hour Decimal(38, 2) COMMENT 'The same over those that are completed',
    orders_last_minute UInt32 COMMENT 'Orders of the 60 seconds up to as_of, whatever their status',
    intake_value_last_minute Decimal(38, 2) COMMENT 'Sum of price times quantity over them',
    revenue_last_minute Decimal(38, 2) COMMENT 'The same over those that are completed'
)
AS WITH placed AS
(
    SELECT
        sales_territory_id,
        period = toDate(now(), '{time_zone}') AS today,
        second > now() - INTERVAL 1 HOUR AND second <= now() AS last_hour,
        second > now() - INTERVAL 1 MINUTE AND second <= now() AS last_minute,
        intake_orders,
        intake_value,
        revenue
    FROM sales_fresh
    WHERE grain = 'second' AND period >= toDate(now() - INTERVAL 1 HOUR, '{time_zone}') AND period <= toDate(now(), '{time_zone}')
)
SELECT
    territories.country AS country,
    territories.region AS region,
    now('UTC') AS as_of,
    accurateCast(sum(today * intake_orders), 'UInt32') AS orders_today,
    sum(today * intake_value) AS intake_value_today,
    sum(today * revenue) AS revenue_today,
    accurateCast(sum(last_hour * intake_orders), 'UInt32') AS orders_last_hour,
    sum(last_hour * intake_value) AS intake_value_last_hour,
    sum(last_hour * revenue) AS revenue_last_hour,
    accurateCast(sum(last_minute * intake_orders), 'UInt32') AS orders_last_minute,
    sum(last_minute * intake_value) AS intake_value_last_minute,
    sum(last_minute * revenue) AS revenue_last_minute
FROM (SELECT sales_territory_id, country, region FROM `shop.sales_territories.current` FINAL) AS territories
LEFT JOIN placed ON placed.sales_territory_id = territories.sales_territory_id
GROUP BY country, region
COMMENT 'What is being ordered now, by country and region';
