-- model/sales/clickhouse/205: dim_territory.
-- Reads the history of shop.sales_territories.
CREATE VIEW dim_territory
(
    territory_key String COMMENT 'Key of this version: what facts refer to',
    sales_territory_id Int32 COMMENT 'Territory, the same in all its versions',
    territory_name String COMMENT 'Name as the sales teams used it then',
    region String COMMENT 'Part of the country, or of the continent',
    country String COMMENT 'Country, ISO 3166-1 alpha-2',
    start_date DateTime64(6, 'UTC') COMMENT 'Valid from. 1970-01-01 for what was there when the warehouse was loaded',
    end_date DateTime64(6, 'UTC') COMMENT 'Valid until, this moment excluded. 2199-12-31 for a version that is valid now',
    is_current Bool COMMENT 'Whether this version is valid now',
    source_id_audit String COMMENT 'Where the row came from: snapshot (the initial load) or database (a change after it)',
    insert_id String COMMENT 'Transaction that opened this version, as pg_lsn',
    update_id Nullable(String) COMMENT 'Transaction that closed it. Null for a version that is valid now'
)
AS SELECT
    version_key AS territory_key,
    sales_territory_id,
    name AS territory_name,
    region,
    country,
    start_date,
    end_date,
    is_current,
    source_id_audit,
    insert_id,
    update_id
FROM `shop.sales_territories.history`
COMMENT 'Sales territories, a row per version';
