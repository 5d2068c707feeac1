-- model/sales/clickhouse/215: dim_customer, without the columns that millrace.yaml drops.
-- Reads the history of shop.customers.
CREATE VIEW dim_customer
(
    customer_key String COMMENT 'Key of this version: what facts refer to',
    customer_id Int64 COMMENT 'Customer, the same in all versions',
    customer_name String COMMENT 'Name, masked before it left the source',
    email_hash String COMMENT 'Keyed hash of the address: equal for equal addresses, and nothing more',
    city String COMMENT 'City of residence then',
    country String COMMENT 'Country of residence then, ISO 3166-1 alpha-2',
    marketing_consent Bool COMMENT 'Whether news could be sent then',
    registered_at DateTime64(6, 'UTC') COMMENT 'When the customer registered',
    start_date DateTime64(6, 'UTC') COMMENT 'Valid from. 1970-01-01 for what was there when the warehouse was loaded',
    end_date DateTime64(6, 'UTC') COMMENT 'Valid until, this moment excluded. 2199-12-31 for a version that is valid now',
    is_current Bool COMMENT 'Whether this version is valid now',
    source_id_audit String COMMENT 'Where the row came from: snapshot (the initial load) or database (a change after it)',
    insert_id String COMMENT 'Transaction that opened this version, as pg_lsn',
    update_id Nullable(String) COMMENT 'Transaction that closed it. Null for a version that is valid now'
)
AS SELECT
    version_key AS customer_key,
    customer_id,
    full_name AS customer_name,
    email AS email_hash,
    city,
    country,
    marketing_consent,
    created_at AS registered_at,
    start_date,
    end_date,
    is_current,
    source_id_audit,
    insert_id,
    update_id
FROM `shop.customers.history`
COMMENT 'Customers, a row per version';
