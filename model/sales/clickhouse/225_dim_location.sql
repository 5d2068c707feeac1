-- model/sales/clickhouse/225: dim_location.
-- Reads dim_shop.
CREATE VIEW dim_location
(
    location_key String COMMENT 'Country, region and city: what facts refer to',
    country String COMMENT 'Country, ISO 3166-1 alpha-2',
    region String COMMENT 'Region of the territory that the city was in',
    city String COMMENT 'City',
    start_date DateTime64(6, 'UTC') COMMENT 'Since when there was a shop. 1970-01-01 for what was there when the warehouse was loaded',
    end_date DateTime64(6, 'UTC') COMMENT 'Until when there was one, this moment excluded. 2199-12-31 where there is one now',
    is_current Bool COMMENT 'Whether there is a shop now',
    source_id_audit String COMMENT 'Where the first row of a shop there came from: snapshot (the initial load) or database (a change after it)',
    insert_id String COMMENT 'Transaction that put the first shop there, as pg_lsn',
    update_id Nullable(String) COMMENT 'Transaction that took the last one away. Null where there is one now'
)
AS SELECT
    location_key,
    any(shops.country) AS country,
    any(shops.region) AS region,
    any(shops.city) AS city,
    min(shops.start_date) AS start_date,
    max(shops.end_date) AS end_date,
    max(shops.is_current) AS is_current,
    argMin(shops.source_id_audit, shops.start_date) AS source_id_audit,
    argMin(shops.insert_id, shops.start_date) AS insert_id,
    if(is_current, NULL, argMax(shops.update_id, shops.end_date)) AS update_id
FROM dim_shop AS shops
GROUP BY location_key
COMMENT 'Places with shops. All of a place is in its key, so it has no versions. Where a territory changes its region, the city is another place';
