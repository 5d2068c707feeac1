-- model/sales/clickhouse/410: the report top_products.
-- Reads sales_cube and the current state of shop.sales_territories, shop.products, shop.categories.
--
-- Months of each country are added up first, and everything else is added up from these sums. A
-- country is a number until the end; 0 is all countries together.
CREATE VIEW top_products
(
    period_kind String COMMENT 'What the ranking is over: overall, year, quarter or month',
    period Nullable(Date) COMMENT 'First day of the year, quarter or month, null for overall',
    country Nullable(String) COMMENT 'Country of the territory, null for all countries together',
    category_id Int32 COMMENT 'Category that the ranking is within, first level',
    category String COMMENT 'Name of the category today',
    subcategory Nullable(String) COMMENT 'Name of the subcategory today, null when the product is in a category of the first level',
    product_id Int32 COMMENT 'What was sold',
    product_name String COMMENT 'Name of the product today',
    units Int64 COMMENT 'Pieces sold in completed orders',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity over them',
    rank_by_units UInt32 COMMENT 'Place by units, then by product_id',
    rank_by_revenue UInt32 COMMENT 'Place by revenue, then by product_id'
)
AS WITH territories AS
(
    SELECT sales_territory_id, country, dense_rank() OVER (ORDER BY country) AS country_number
    FROM `shop.sales_territories.current` FINAL
),
sold AS
(
    SELECT period AS month, country_number, product_id, sum(units) AS own_units, sum(revenue) AS own_revenue
    FROM (SELECT period, sales_territory_id, product_id, units, revenue FROM sales_cube WHERE grain = 'product_month') AS cells
    LEFT JOIN territories USING (sales_territory_id)
    GROUP BY month, country_number, product_id
),
sums AS
(
    SELECT kind.1 AS kind_number, kind.2 AS own_period, scope, product_id, sum(own_units) AS sum_units, sum(own_revenue) AS sum_revenue
    FROM
    (
        SELECT
            arrayJoin([(1, toDate(0)), (2, toStartOfYear(month)), (3, toStartOfQuarter(month)), (4, month)]) AS kind,
            arrayJoin(arrayDistinct([0, country_number])) AS scope,
            product_id, own_units, own_revenue
        FROM sold
    ) AS each
    GROUP BY kind_number, own_period, scope, product_id
    HAVING sum_units != 0
),
ranked AS
(
    SELECT
        sums.*,
        places.*,
        row_number() OVER (PARTITION BY kind_number, own_period, scope, top_id ORDER BY sum_units DESC, product_id) AS by_units,
        row_number() OVER (PARTITION BY kind_number, own_period, scope, top_id ORDER BY sum_revenue DESC, product_id) AS by_revenue
    FROM sums
    LEFT JOIN
    (
        SELECT
            product_id,
            product.name AS own_name,
            if(parent.category_id = 0, own.category_id, parent.category_id) AS top_id,
            if(parent.category_id = 0, own.name, parent.name) AS top_name,
            if(parent.category_id = 0, NULL, own.name) AS sub_name
        FROM `shop.products.current` AS product FINAL
        LEFT JOIN (SELECT category_id, parent_id, name FROM `shop.categories.current` FINAL) AS own ON own.category_id = product.category_id
        LEFT JOIN (SELECT category_id, name FROM `shop.categories.current` FINAL) AS parent ON parent.category_id = own.parent_id
    ) AS places USING (product_id)
)
SELECT
    transform(kind_number, [1, 2, 3, 4], ['overall', 'year', 'quarter', 'month'], '') AS period_kind,
    nullIf(own_period, toDate(0)) AS period,
    nullIf(countries.country, '') AS country,
    top_id AS category_id,
    top_name AS category,
    sub_name AS subcategory,
    product_id,
    own_name AS product_name,
    sum_units AS units,
    sum_revenue AS revenue,
    by_units AS rank_by_units,
    by_revenue AS rank_by_revenue
FROM ranked
LEFT JOIN (SELECT DISTINCT country_number, country FROM territories) AS countries ON countries.country_number = ranked.scope
WHERE by_units <= 100 OR by_revenue <= 100
COMMENT 'Best sellers by units and by revenue within each category: overall, by period, and by country';
