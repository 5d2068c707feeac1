-- model/sales/clickhouse/235: category_versions, each category with its parent, for dim_product.
-- Reads the history of shop.categories.
--
-- A version of the category is split where its parent changed within it, as in 220_dim_shop.
CREATE VIEW category_versions
(
    category_id Int32 COMMENT 'Category of products',
    top_id Int32 COMMENT 'Category of the first level: the one above, or itself',
    top_name String COMMENT 'Name of the category of the first level then',
    sub_name Nullable(String) COMMENT 'Name of the subcategory then. Null where the category is one of the first level',
    start_date DateTime64(6, 'UTC') COMMENT 'Valid from',
    end_date DateTime64(6, 'UTC') COMMENT 'Valid until, this moment excluded',
    insert_id String COMMENT 'Transaction that opened this version, as pg_lsn'
)
AS WITH pieces AS
(
    SELECT
        category_id,
        name,
        ifNull(parent_id, 0) AS above,
        moment.1 AS starts,
        leadInFrame(moment.1, 1, end_date) OVER pieces_of_version AS ends,
        moment.2 AS opened_by
    FROM `shop.categories.history` AS categories
    LEFT JOIN
    (
        SELECT category_id AS parent, groupArray((start_date, insert_id)) AS changes
        FROM `shop.categories.history`
        GROUP BY category_id
    ) AS parent_changes ON parent = categories.parent_id
    ARRAY JOIN arrayPushFront(arrayFilter(change -> change.1 > start_date AND change.1 < end_date, changes), (start_date, insert_id)) AS moment
    WINDOW pieces_of_version AS (PARTITION BY category_id, start_date ORDER BY moment ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
)
SELECT
    pieces.category_id AS category_id,
    if(parents.category_id = 0, pieces.category_id, parents.category_id) AS top_id,
    if(parents.category_id = 0, pieces.name, parents.name) AS top_name,
    if(parents.category_id = 0, NULL, pieces.name) AS sub_name,
    starts AS start_date,
    ends AS end_date,
    opened_by AS insert_id
FROM pieces
ASOF LEFT JOIN `shop.categories.history` AS parents
    ON parents.category_id = pieces.above AND parents.start_date <= pieces.starts
WHERE starts < ends
COMMENT 'Categories with their parents, a row per version';
