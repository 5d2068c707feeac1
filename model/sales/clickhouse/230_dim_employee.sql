-- model/sales/clickhouse/230: dim_employee, each version with its manager and its territory.
-- Reads the histories of shop.employees and shop.sales_territories.
--
-- A version of the employee is split where the manager or the territory changed, as in
-- 220_dim_shop.
CREATE VIEW dim_employee
(
    employee_key String COMMENT 'Key of this version: what facts refer to',
    employee_id Int32 COMMENT 'Employee, the same in all versions',
    employee_name String COMMENT 'Given and family name then',
    role String COMMENT 'sales_manager, sales_person or clerk',
    manager_id Nullable(Int32) COMMENT 'Whom the employee reported to. Null for the managers of territories',
    manager_name Nullable(String) COMMENT 'Name of the manager then',
    sales_territory_id Int32 COMMENT 'Territory the employee worked in',
    territory_name String COMMENT 'Name of that territory then',
    region String COMMENT 'Region of that territory then',
    country String COMMENT 'Country of that territory, ISO 3166-1 alpha-2',
    hired_on Date32 COMMENT 'First day at work',
    left_on Nullable(Date32) COMMENT 'Last day at work. Null while employed',
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
        employee_id,
        full_name,
        role,
        manager_id,
        ifNull(manager_id, 0) AS reports_to,
        sales_territory_id,
        hired_on,
        left_on,
        source_id_audit,
        moment.1 AS starts,
        leadInFrame(moment.1, 1, end_date) OVER pieces_of_version AS ends,
        moment.2 AS opened_by,
        leadInFrame(toNullable(moment.2), 1, update_id) OVER pieces_of_version AS closed_by
    FROM `shop.employees.history` AS employees
    LEFT JOIN
    (
        SELECT sales_territory_id, groupArray((start_date, insert_id)) AS territory_changes
        FROM `shop.sales_territories.history`
        GROUP BY sales_territory_id
    ) AS changes_of_territory USING (sales_territory_id)
    LEFT JOIN
    (
        SELECT employee_id AS manager, groupArray((start_date, insert_id)) AS manager_changes
        FROM `shop.employees.history`
        GROUP BY employee_id
    ) AS changes_of_manager ON manager = employees.manager_id
    ARRAY JOIN arrayPushFront(
        arrayFilter(change -> change.1 > start_date AND change.1 < end_date, arrayConcat(territory_changes, manager_changes)),
        (start_date, insert_id)) AS moment
    WINDOW pieces_of_version AS (PARTITION BY employee_id, start_date ORDER BY moment ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
)
SELECT
    concat(toString(pieces.employee_id), '@', toString(toUnixTimestamp64Micro(starts))) AS employee_key,
    pieces.employee_id AS employee_id,
    pieces.full_name AS employee_name,
    pieces.role AS role,
    pieces.manager_id AS manager_id,
    if(managers.employee_id = 0, NULL, managers.full_name) AS manager_name,
    pieces.sales_territory_id AS sales_territory_id,
    territories.name AS territory_name,
    territories.region AS region,
    territories.country AS country,
    pieces.hired_on AS hired_on,
    pieces.left_on AS left_on,
    starts AS start_date,
    ends AS end_date,
    toBool(closed_by IS NULL) AS is_current,
    pieces.source_id_audit AS source_id_audit,
    opened_by AS insert_id,
    closed_by AS update_id
FROM pieces
ASOF LEFT JOIN `shop.sales_territories.history` AS territories
    ON territories.sales_territory_id = pieces.sales_territory_id AND territories.start_date <= pieces.starts
ASOF LEFT JOIN `shop.employees.history` AS managers
    ON managers.employee_id = pieces.reports_to AND managers.start_date <= pieces.starts
WHERE starts < ends
COMMENT 'Employees with manager and territory, a row per version';
