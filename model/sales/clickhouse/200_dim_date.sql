-- model/sales/clickhouse/200: dim_date, the calendar.
-- Reads the current state of shop.orders and shop.user_traffic.
--
-- The calendar has whole years, from the first fact to the last, so every fact has its day.
-- Replaced and deleted rows count too until ClickHouse has merged them away. One year too many is
-- harmless; reading with FINAL would be slow.
CREATE VIEW dim_date
(
    date Date COMMENT 'The day: what facts refer to',
    year UInt16 COMMENT 'Calendar year',
    quarter UInt8 COMMENT 'Quarter of the year, 1 to 4',
    month UInt8 COMMENT 'Month of the year, 1 to 12',
    month_name String COMMENT 'January to December',
    year_quarter String COMMENT 'Year and quarter, such as 2025-Q3',
    year_month String COMMENT 'Year and month, such as 2025-07',
    first_of_quarter Date COMMENT 'First day of the quarter: what reports by quarter show',
    first_of_month Date COMMENT 'First day of the month: what reports by month show',
    first_of_week Date COMMENT 'Monday of the week: what reports by week show',
    iso_year UInt16 COMMENT 'Year that the ISO 8601 week belongs to',
    iso_week UInt8 COMMENT 'ISO 8601 week, 1 to 53',
    day_of_year UInt16 COMMENT 'Day of the year, 1 to 366',
    day_of_month UInt8 COMMENT 'Day of the month, 1 to 31',
    day_of_week UInt8 COMMENT 'Day of the week, 1 Monday to 7 Sunday',
    day_name String COMMENT 'Monday to Sunday',
    is_weekend Bool COMMENT 'Whether it is a Saturday or a Sunday'
)
AS WITH facts AS
(
    SELECT min(ordered_at) AS first, max(ordered_at) AS last FROM `shop.orders.current`
    UNION ALL
    SELECT min(visited_at) AS first, max(visited_at) AS last FROM `shop.user_traffic.current`
),
bounds AS
(
    SELECT
        toStartOfYear(if(count() = 0, today(), toDate(min(first), '{time_zone}'))) AS first_day,
        toStartOfYear(if(count() = 0, today(), toDate(max(last), '{time_zone}')) + INTERVAL 1 YEAR) AS day_after
    FROM facts
    WHERE first > '1970-01-02'
)
SELECT
    arrayJoin(arrayMap(days -> first_day + days, range(toUInt32(day_after - first_day)))) AS date,
    toYear(date) AS year,
    toQuarter(date) AS quarter,
    toMonth(date) AS month,
    dateName('month', date) AS month_name,
    concat(toString(year), '-Q', toString(quarter)) AS year_quarter,
    formatDateTime(date, '%Y-%m') AS year_month,
    toStartOfQuarter(date) AS first_of_quarter,
    toStartOfMonth(date) AS first_of_month,
    toMonday(date) AS first_of_week,
    toISOYear(date) AS iso_year,
    toISOWeek(date) AS iso_week,
    toDayOfYear(date) AS day_of_year,
    toDayOfMonth(date) AS day_of_month,
    toDayOfWeek(date) AS day_of_week,
    dateName('weekday', date) AS day_name,
    toBool(day_of_week >= 6) AS is_weekend
FROM bounds
COMMENT 'Calendar: a row for every day of every year that a fact falls into, in the reporting time zone';
