-- model/sales/clickhouse/130: visits by month and traffic source.
-- Reads the changelog of shop.user_traffic.
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

CREATE MATERIALIZED VIEW visits_by_month_from_visits TO visits_by_month AS
SELECT
    toStartOfMonth(toDate(visited_at, '{time_zone}')) AS month,
    traffic_source_id,
    sum(_sign) AS visits,
    sum(_sign * toDecimal128(visit.cost, 2)) AS cost
FROM `shop.user_traffic.changelog` AS visit
GROUP BY month, traffic_source_id;
