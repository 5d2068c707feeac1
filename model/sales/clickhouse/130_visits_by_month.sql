-- model/sales/clickhouse/130: visits by month and traffic source.
CREATE TABLE visits_by_month
(
    month Date COMMENT 'First day of the month of visited_at in the reporting time zone',
    traffic_source_id Int32 COMMENT 'Where the visitors came from',
    visits Int64 COMMENT 'Visits',
    cost Decimal(38, 2) COMMENT 'What the source charged for them'
)
ENGINE = SummingMergeTree
ORDER BY (month, traffic_source_id)
COMMENT 'Visits by month and traffic source. Several rows of one key add up: always read it with sum and GROUP BY';

-- What rows contribute, as in 100.
CREATE VIEW `visits_by_month.contributions` AS
SELECT
    toStartOfMonth(toDate(visited_at, '{time_zone}')) AS month,
    traffic_source_id,
    sum(_sign) AS visits,
    sum(_sign * toDecimal128(visit.cost, 2)) AS cost
FROM `shop.user_traffic.rows` AS visit
GROUP BY month, traffic_source_id;
