-- model/sales/clickhouse/210: dim_traffic_source.
-- Reads the history of shop.traffic_sources.
CREATE VIEW dim_traffic_source
(
    traffic_source_key String COMMENT 'Key of this version: what facts refer to',
    traffic_source_id Int32 COMMENT 'Traffic source, the same in all its versions',
    traffic_source_name String COMMENT 'Search engine, campaign, newsletter or partner',
    channel String COMMENT 'Kind of source: direct, search, email, social or partner',
    start_date DateTime64(6, 'UTC') COMMENT 'Valid from. 1970-01-01 for what was there when the warehouse was loaded',
    end_date DateTime64(6, 'UTC') COMMENT 'Valid until, this moment excluded. 2199-12-31 for a version that is valid now',
    is_current Bool COMMENT 'Whether this version is valid now',
    source_id_audit String COMMENT 'Where the row came from: snapshot (the initial load) or database (a change after it)',
    insert_id String COMMENT 'Transaction that opened this version, as pg_lsn',
    update_id Nullable(String) COMMENT 'Transaction that closed it. Null for a version that is valid now'
)
AS SELECT
    version_key AS traffic_source_key,
    traffic_source_id,
    name AS traffic_source_name,
    channel,
    start_date,
    end_date,
    is_current,
    source_id_audit,
    insert_id,
    update_id
FROM `shop.traffic_sources.history`
COMMENT 'Where visitors come from, a row per version';
