-- model/sales/clickhouse/280: fact_visits, one row for each visit of the online shop.
-- Reads dim_traffic_source, dim_customer and the current state of shop.user_traffic.
-- Versions are looked up as in 250_order_keys.
CREATE VIEW fact_visits
(
    visit_id Int64 COMMENT 'Visit',
    visit_date Date COMMENT 'Calendar day of visited_at in the reporting time zone: key of dim_date',
    customer_key Nullable(String) COMMENT 'Version of dim_customer valid at visited_at. Null for a visitor who was not signed in',
    customer_current_key Nullable(String) COMMENT 'Version of dim_customer valid now',
    traffic_source_key Nullable(String) COMMENT 'Version of dim_traffic_source valid at visited_at',
    traffic_source_current_key Nullable(String) COMMENT 'Version of dim_traffic_source valid now',
    customer_id Nullable(Int64) COMMENT 'Customer, whatever the version. Null for a visitor who was not signed in',
    traffic_source_id Int32 COMMENT 'Traffic source, whatever the version',
    visited_at DateTime64(6, 'UTC') COMMENT 'When the visit began',
    landing_page String COMMENT 'Path of the first page',
    visits UInt8 COMMENT 'Always 1, to be summed up',
    cost Decimal(15, 2) COMMENT 'What the source charged for the visit. 0 when it was free',
    source_id_audit String COMMENT 'Where the row came from: database (the application wrote it), or the CSV file that it was imported from',
    source_line Nullable(Int64) COMMENT 'Line of that file, the header being line 1. Null when the application wrote it'
)
AS SELECT
    visit.visit_id AS visit_id,
    toDate(visit.visited_at, '{time_zone}') AS visit_date,
    nullIf(customers.version_key, '') AS customer_key,
    nullIf(customers.current_key, '') AS customer_current_key,
    nullIf(traffic_sources.version_key, '') AS traffic_source_key,
    nullIf(traffic_sources.current_key, '') AS traffic_source_current_key,
    visit.customer_id AS customer_id,
    visit.traffic_source_id AS traffic_source_id,
    visit.visited_at AS visited_at,
    visit.landing_page AS landing_page,
    1 AS visits,
    visit.cost AS cost,
    ifNull(visit.source, 'database') AS source_id_audit,
    visit.source_line AS source_line
FROM (SELECT * FROM `shop.user_traffic.current` FINAL) AS visit
ASOF LEFT JOIN
(
    SELECT
        customer_id,
        if(start_date = min(start_date) OVER (PARTITION BY customer_id), toDateTime64('1900-01-01', 6, 'UTC'), start_date) AS from_date,
        customer_key AS version_key,
        maxIf(customer_key, is_current) OVER (PARTITION BY customer_id) AS current_key
    FROM dim_customer
) AS customers ON customers.customer_id = visit.customer_id AND customers.from_date <= visit.visited_at
ASOF LEFT JOIN
(
    SELECT
        traffic_source_id,
        if(start_date = min(start_date) OVER (PARTITION BY traffic_source_id), toDateTime64('1900-01-01', 6, 'UTC'), start_date) AS from_date,
        traffic_source_key AS version_key,
        maxIf(traffic_source_key, is_current) OVER (PARTITION BY traffic_source_id) AS current_key
    FROM dim_traffic_source
) AS traffic_sources ON traffic_sources.traffic_source_id = visit.traffic_source_id AND traffic_sources.from_date <= visit.visited_at
COMMENT 'Visits of the online shop, as the application and the agencies report them';
