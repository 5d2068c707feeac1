-- model/sales/clickhouse/240: dim_product, each version with its category and subcategory.
-- Reads category_versions and the history of shop.products.
--
-- A version of the product is split where its category or its parent changed, as in 220_dim_shop.
CREATE VIEW dim_product
(
    product_key String COMMENT 'Key of this version: what facts refer to',
    product_id Int32 COMMENT 'Product, the same in all its versions',
    product_name String COMMENT 'Name on the label then',
    category_id Int32 COMMENT 'Category of the first level',
    category String COMMENT 'Name of that category then',
    subcategory_id Nullable(Int32) COMMENT 'Subcategory. Null where the product is in a category of the first level',
    subcategory Nullable(String) COMMENT 'Name of the subcategory then',
    price Decimal(15, 2) COMMENT 'Price of one piece then. An order item has the price it was sold at',
    cost_price Decimal(15, 2) COMMENT 'What one piece cost the shop then',
    active Bool COMMENT 'Whether it could be ordered',
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
        product_id,
        name,
        category_id,
        price,
        cost_price,
        active,
        source_id_audit,
        moment.1 AS starts,
        leadInFrame(moment.1, 1, end_date) OVER pieces_of_version AS ends,
        moment.2 AS opened_by,
        leadInFrame(toNullable(moment.2), 1, update_id) OVER pieces_of_version AS closed_by
    FROM `shop.products.history` AS products
    LEFT JOIN
    (
        SELECT category_id, groupArray((start_date, insert_id)) AS changes
        FROM category_versions
        GROUP BY category_id
    ) AS category_changes USING (category_id)
    ARRAY JOIN arrayPushFront(arrayFilter(change -> change.1 > start_date AND change.1 < end_date, changes), (start_date, insert_id)) AS moment
    WINDOW pieces_of_version AS (PARTITION BY product_id, start_date ORDER BY moment ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
)
SELECT
    concat(toString(product_id), '@', toString(toUnixTimestamp64Micro(starts))) AS product_key,
    product_id,
    pieces.name AS product_name,
    categories.top_id AS category_id,
    categories.top_name AS category,
    if(categories.sub_name IS NULL, NULL, pieces.category_id) AS subcategory_id,
    categories.sub_name AS subcategory,
    price,
    cost_price,
    active,
    starts AS start_date,
    ends AS end_date,
    toBool(closed_by IS NULL) AS is_current,
    pieces.source_id_audit AS source_id_audit,
    opened_by AS insert_id,
    closed_by AS update_id
FROM pieces
ASOF LEFT JOIN category_versions AS categories
    ON categories.category_id = pieces.category_id AND categories.start_date <= pieces.starts
WHERE starts < ends
COMMENT 'Products with category and subcategory, a row per version';
