-- model/sales/clickhouse/320: the report top_employees.
-- May know: 100_sales_cube, current state of shop.employees, shop.products and shop.sales_territories.
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
    units UInt32 COMMENT 'Pieces in completed orders',
    sales_amount Decimal(15, 2) COMMENT 'Sum of price times quantity over them'
)
AS WITH best AS
(
    SELECT scope, period, territory, employee_id, product_id, sum(units) AS pieces, sum(revenue) AS amount
    FROM
    (
        SELECT arrayJoin([('overall', 0), ('territory', sales_territory_id)]) AS whole, whole.1 AS scope, toDate(0) AS period, whole.2 AS territory,
            employee_id, product_id, units, revenue
        FROM sales_cube
        WHERE grain = 'employee'
        UNION ALL
        SELECT arrayJoin([('year', toStartOfYear(month)), ('quarter', toStartOfQuarter(month)), ('month', month)]) AS part, part.1, part.2, 0,
            employee_id, product_id, units, revenue
        FROM (SELECT period AS month, employee_id, product_id, units, revenue FROM sales_cube WHERE grain = 'employee_month')
    )
    GROUP BY scope, period, territory, employee_id, product_id
    HAVING pieces != 0
    ORDER BY scope, period, territory, amount DESC, employee_id, product_id
    LIMIT 100 BY scope, period, territory
)
SELECT
    best.scope AS scope,
    nullIf(best.period, toDate(0)) AS period,
    nullIf(best.territory, 0) AS sales_territory_id,
    if(best.territory = 0, NULL, territories.name) AS territory_name,
    row_number() OVER (PARTITION BY best.scope, best.period, best.territory ORDER BY best.amount DESC, best.employee_id, best.product_id) AS `rank`,
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
