-- model/sales/clickhouse/220: dim_shop, each version with the territory that the shop belonged to.
-- Reads the histories of shop.shops and shop.sales_territories.
--
-- A version of the shop is split where its territory changed within it. `moment` is the start of
-- each part and the transaction behind that start. The territory is the one valid at `moment`.
CREATE VIEW dim_shop
(
    shop_key String COMMENT 'Key of this version: what facts refer to',
    shop_id Int32 COMMENT 'Shop, the same in all its versions',
    shop_name String COMMENT 'Name on the sign then',
    city String COMMENT 'City the shop stood in',
    sales_territory_id Int32 COMMENT 'Territory it belonged to then',
    territory_name String COMMENT 'Name of that territory then',
    region String COMMENT 'Region of that territory then',
    country String COMMENT 'Country of that territory, ISO 3166-1 alpha-2',
    location_key String COMMENT 'Where it stood: country, region and city, as in dim_location',
    opened_on Date32 COMMENT 'First day of business',
    start_date DateTime64(6, 'UTC') COMMENT 'Valid from. 1970-01-01 for what was there when the warehouse was loaded',
    end_date DateTime64(6, 'UTC') COMMENT 'Valid until, this moment excluded. 2199-12-31 for a version that is valid now',
    is_current Bool COMMENT 'Whether this version is valid now',
    source_id_audit String COMMENT 'Where the row came from: snapshot (the initial load) or database (a change after it)',
    insert_id String COMMENT 'Transaction that opened this version, as pg_lsn',
    update_id Nullable(String) COMMENT 'Transaction that closed it. Null for a version that is valid now'
)
AS WITH pieces AS
(
    SELECT
        shop_id,
        name,
        city,
        sales_territory_id,
        opened_on,
        source_id_audit,
        moment.1 AS starts,
        leadInFrame(moment.1, 1, end_date) OVER pieces_of_version AS ends,
        moment.2 AS opened_by,
        leadInFrame(toNullable(moment.2), 1, update_id) OVER pieces_of_version AS closed_by
    FROM `shop.shops.history` AS shops
    LEFT JOIN
    (
        SELECT sales_territory_id, groupArray((start_date, insert_id)) AS changes
        FROM `shop.sales_territories.history`
        GROUP BY sales_territory_id
    ) AS territory_changes USING (sales_territory_id)
    ARRAY JOIN arrayPushFront(arrayFilter(change -> change.1 > start_date AND change.1 < end_date, changes), (start_date, insert_id)) AS moment
    WINDOW pieces_of_version AS (PARTITION BY shop_id, start_date ORDER BY moment ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
)
SELECT
    concat(toString(shop_id), '@', toString(toUnixTimestamp64Micro(starts))) AS shop_key,
    shop_id,
    pieces.name AS shop_name,
    pieces.city AS city,
    pieces.sales_territory_id AS sales_territory_id,
    territories.name AS territory_name,
    territories.region AS region,
    territories.country AS country,
    concat(country, ' / ', region, ' / ', city) AS location_key,
    opened_on,
    starts AS start_date,
    ends AS end_date,
    toBool(closed_by IS NULL) AS is_current,
    pieces.source_id_audit AS source_id_audit,
    opened_by AS insert_id,
    closed_by AS update_id
FROM pieces
ASOF LEFT JOIN `shop.sales_territories.history` AS territories
    ON territories.sales_territory_id = pieces.sales_territory_id AND territories.start_date <= pieces.starts
WHERE starts < ends
COMMENT 'Shops with the territory they belonged to, a row per version';
