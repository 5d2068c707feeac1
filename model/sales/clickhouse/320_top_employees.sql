-- model/sales/clickhouse/320: the report top_employees.
-- Reads sales_cube and the current state of shop.employees, shop.products, shop.sales_territories.
--
-- A place in a ranking is one number of 256 bits. The upper 128 bits are the amount in cents,
-- negative so that the largest amount comes first. Below them are the employee and the product with
-- 32 bits each, and the pieces with 64 bits. Keeping the 100 least numbers of a ranking takes an
-- eighth of the time of sorting its rows.
CREATE VIEW top_employees
(
    scope String COMMENT 'What the ranking is over: overall, year, quarter, month or territory',
    period Nullable(Date) COMMENT 'First day of the year, quarter or month, null for overall and territory',
    sales_territory_id Nullable(Int32) COMMENT 'Territory that the sales counted for, null except for scope territory',
    territory_name Nullable(String) COMMENT 'Name of the territory today, null except for scope territory',
    `rank` UInt32 COMMENT '1 to 100: by sales amount, highest first, then by employee_id and product_id',
    employee_id Int32 COMMENT 'Who sold',
    employee_name String COMMENT 'Name of the employee today',
    product_id Int32 COMMENT 'What was sold',
    product_name String COMMENT 'Name of the product today',
    units Int64 COMMENT 'Pieces in completed orders',
    sales_amount Decimal(38, 2) COMMENT 'Sum of price times quantity over them'
)
AS WITH sums AS
(
    SELECT scope, start, territory, employee_id, product_id, sum(units) AS pieces, sum(revenue) AS amount
    FROM
    (
        SELECT arrayJoin([(1, 0), (5, sales_territory_id)]) AS whole, whole.1 AS scope, toDate(0) AS start, whole.2 AS territory,
            employee_id, product_id, units, revenue
        FROM sales_cube
        WHERE grain = 'employee'
        UNION ALL
        SELECT arrayJoin([(2, toStartOfYear(period)), (3, toStartOfQuarter(period)), (4, period)]) AS part, part.1, part.2, 0,
            employee_id, product_id, units, revenue
        FROM sales_cube
        WHERE grain = 'employee_month'
    )
    GROUP BY scope, start, territory, employee_id, product_id
    HAVING pieces != 0
),
best AS
(
    SELECT
        scope, start, territory, position,
        toInt32(bitAnd(bitShiftRight(place, 96), 0xFFFFFFFF)) AS employee_id,
        toInt32(bitAnd(bitShiftRight(place, 64), 0xFFFFFFFF)) AS product_id,
        toInt64(bitAnd(place, 0xFFFFFFFFFFFFFFFF)) AS pieces,
        toDecimal128(toInt128(-bitShiftRight(place, 128)), 2) / 100 AS amount
    FROM
    (
        SELECT scope, start, territory, groupArraySorted(100)(
            bitShiftLeft(-toInt256(amount * 100), 128) + bitShiftLeft(toInt256(employee_id), 96) + bitShiftLeft(toInt256(product_id), 64) + pieces
        ) AS places
        FROM sums
        GROUP BY scope, start, territory
    )
    ARRAY JOIN places AS place, arrayEnumerate(places) AS position
)
SELECT
    transform(best.scope, [1, 2, 3, 4, 5], ['overall', 'year', 'quarter', 'month', 'territory'], '') AS scope,
    nullIf(best.start, toDate(0)) AS period,
    nullIf(best.territory, 0) AS sales_territory_id,
    if(best.territory = 0, NULL, territories.name) AS territory_name,
    best.position AS `rank`,
    best.employee_id AS employee_id,
    employees.full_name AS employee_name,
    best.product_id AS product_id,
    products.name AS product_name,
    best.pieces AS units,
    best.amount AS sales_amount
FROM best
LEFT JOIN (SELECT sales_territory_id, name FROM `shop.sales_territories.current` FINAL) AS territories
    ON territories.sales_territory_id = best.territory
LEFT JOIN (SELECT employee_id, full_name FROM `shop.employees.current` FINAL) AS employees ON employees.employee_id = best.employee_id
LEFT JOIN (SELECT product_id, name FROM `shop.products.current` FINAL) AS products ON products.product_id = best.product_id
COMMENT 'The 100 best pairs of employee and product: overall, by period and by territory';
