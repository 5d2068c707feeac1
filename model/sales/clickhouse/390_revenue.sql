-- model/sales/clickhouse/390: the reports revenue_by_quarter and revenue_by_category.
-- Reads sales_fresh, sales_cube, and the current state of shop.sales_territories, shop.shops,
-- shop.products and shop.categories.
CREATE VIEW revenue_by_quarter
(
    level String COMMENT 'What the row sums up: total, country, territory or shop',
    country Nullable(String) COMMENT 'Country of the territory, null on level total',
    sales_territory_id Nullable(Int32) COMMENT 'Territory the sales counted for, on levels territory and shop',
    territory_name Nullable(String) COMMENT 'Name of the territory today',
    shop_id Nullable(Int32) COMMENT 'Shop that took the orders, on level shop',
    shop_name Nullable(String) COMMENT 'Name of the shop today',
    quarter Date COMMENT 'First day of the quarter',
    orders UInt32 COMMENT 'Completed orders',
    units Int64 COMMENT 'Pieces sold in them',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity',
    cost Decimal(38, 2) COMMENT 'Sum of cost_price times quantity',
    profit Decimal(38, 2) COMMENT 'revenue minus cost'
)
AS WITH sums AS
(
    SELECT place.1 AS level, place.2 AS country, place.3 AS territory, place.4 AS shop, own_quarter,
        sum(own_orders) AS level_orders, sum(own_units) AS level_units, sum(own_revenue) AS level_revenue, sum(own_cost) AS level_cost
    FROM
    (
        SELECT
            arrayJoin([('total', '', 0, 0), ('country', own_country, 0, 0), ('territory', own_country, sales_territory_id, 0), ('shop', own_country, sales_territory_id, shop_id)]) AS place,
            own_quarter, own_orders, own_units, own_revenue, own_cost
        FROM
        (
            SELECT toStartOfQuarter(period) AS own_quarter, sales_territory_id, shop_id,
                sum(orders) AS own_orders, sum(units) AS own_units, sum(revenue) AS own_revenue, sum(cost) AS own_cost
            FROM sales_fresh
            WHERE grain = 'day'
            GROUP BY own_quarter, sales_territory_id, shop_id
            HAVING own_orders != 0
        ) AS quarters
        LEFT JOIN (SELECT sales_territory_id, country AS own_country FROM `shop.sales_territories.current` FINAL) AS territories USING (sales_territory_id)
    )
    GROUP BY level, country, territory, shop, own_quarter
)
SELECT
    sums.level AS level,
    if(sums.level = 'total', NULL, sums.country) AS country,
    nullIf(sums.territory, 0) AS sales_territory_id,
    if(sums.territory = 0, NULL, names.name) AS territory_name,
    nullIf(sums.shop, 0) AS shop_id,
    if(sums.shop = 0, NULL, shops.name) AS shop_name,
    sums.own_quarter AS quarter,
    accurateCast(sums.level_orders, 'UInt32') AS orders,
    sums.level_units AS units,
    sums.level_revenue AS revenue,
    sums.level_cost AS cost,
    sums.level_revenue - sums.level_cost AS profit
FROM sums
LEFT JOIN (SELECT sales_territory_id, name FROM `shop.sales_territories.current` FINAL) AS names ON names.sales_territory_id = sums.territory
LEFT JOIN (SELECT shop_id, name FROM `shop.shops.current` FINAL) AS shops ON shops.shop_id = sums.shop
COMMENT 'Completed sales by quarter: in all, by country, territory and shop';

CREATE VIEW revenue_by_category
(
    level String COMMENT 'What the row sums up: category or subcategory',
    quarter Date COMMENT 'First day of the quarter',
    category_id Int32 COMMENT 'Category, first level',
    category String COMMENT 'Name of the category today',
    subcategory_id Nullable(Int32) COMMENT 'Subcategory, on level subcategory',
    subcategory Nullable(String) COMMENT 'Name of the subcategory today',
    country Nullable(String) COMMENT 'Country of the territory, null for all countries together',
    units Int64 COMMENT 'Pieces sold in completed orders',
    revenue Decimal(38, 2) COMMENT 'Sum of price times quantity over them',
    cost Decimal(38, 2) COMMENT 'Sum of cost_price times quantity over them',
    profit Decimal(38, 2) COMMENT 'revenue minus cost',
    revenue_share Nullable(Decimal(9, 4)) COMMENT 'Share of the revenue of the same quarter and country. Null when that is 0'
)
AS WITH sums AS
(
    SELECT shelf.1 AS level, own_quarter, top_id, any(top_name) AS top, shelf.2 AS sub_id, any(shelf.3) AS sub, scope,
        sum(own_units) AS sum_units, sum(own_revenue) AS sum_revenue, sum(own_cost) AS sum_cost
    FROM
    (
        SELECT
            arrayJoin(if(own_id = 0, [('category', 0, '')], [('category', 0, ''), ('subcategory', own_id, own_name)])) AS shelf,
            arrayJoin(['', own_country]) AS scope,
            own_quarter, top_id, top_name, own_units, own_revenue, own_cost
        FROM
        (
            SELECT toStartOfQuarter(period) AS own_quarter, sales_territory_id, product_id, sum(units) AS own_units, sum(revenue) AS own_revenue, sum(cost) AS own_cost
        FROM sales_cube
        WHERE grain = 'product_month'
        GROUP BY own_quarter, sales_territory_id, product_id
        HAVING own_units != 0
    ) AS sold
    LEFT JOIN (SELECT sales_territory_id, country AS own_country FROM `shop.sales_territories.current` FINAL) AS territories USING (sales_territory_id)
    LEFT JOIN
    (
        SELECT
            product_id,
            if(parent.category_id = 0, own.category_id, parent.category_id) AS top_id,
            if(parent.category_id = 0, own.name, parent.name) AS top_name,
            if(parent.category_id = 0, 0, own.category_id) AS own_id,
            own.name AS own_name
        FROM `shop.products.current` AS product FINAL
        LEFT JOIN (SELECT category_id, parent_id, name FROM `shop.categories.current` FINAL) AS own ON own.category_id = product.category_id
        LEFT JOIN (SELECT category_id, name FROM `shop.categories.current` FINAL) AS parent ON parent.category_id = own.parent_id
        ) AS places USING (product_id)
    )
    GROUP BY level, own_quarter, top_id, sub_id, scope
)
SELECT
    level,
    own_quarter AS quarter,
    top_id AS category_id,
    top AS category,
    nullIf(sub_id, 0) AS subcategory_id,
    if(sub_id = 0, NULL, sub) AS subcategory,
    nullIf(scope, '') AS country,
    sum_units AS units,
    sum_revenue AS revenue,
    sum_cost AS cost,
    sum_revenue - sum_cost AS profit,
    round(toDecimal128(sum_revenue, 5) / nullIf(sumIf(sum_revenue, level = 'category') OVER (PARTITION BY own_quarter, scope), 0), 4) AS revenue_share
FROM sums
COMMENT 'Completed sales by quarter, category and subcategory: in all and by country';
