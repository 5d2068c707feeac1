-- model/sales/clickhouse/380: the reports customer_retention and customer_cohorts.
-- Reads sales_fresh.
--
-- A purchase is a completed order. The purchase days of a customer are the days with completed
-- orders. Their sequence gives everything else.

-- Cells of one day add up. A cell and the cell that cancels it can both be present until ClickHouse
-- has merged their parts. Adding up by day first takes three times as long for all customers, so
-- the view does it only for customers with a negative cell.
CREATE VIEW purchase_days
(
    customer_id Int64 COMMENT 'Who ordered',
    days Array(Date) COMMENT 'Days of completed orders, each once, in order'
)
AS SELECT
    customer_id,
    if(
        min(orders) > 0,
        arrayCompact(arraySort(groupArray(period))),
        arrayReduce('sumMap', arrayMap(day -> [day], groupArray(period)), arrayMap(number -> [number], groupArray(orders))).1
    ) AS days
FROM sales_fresh
WHERE grain = 'customer_day'
GROUP BY customer_id
COMMENT 'When each customer purchased';

CREATE VIEW customer_retention
(
    period_kind String COMMENT 'day, week or month',
    period Date COMMENT 'The day, the Monday of the week or the first day of the month',
    customers UInt32 COMMENT 'Customers with a completed order in the period',
    new_customers UInt32 COMMENT 'Customers whose first completed order ever is in the period',
    returning_customers UInt32 COMMENT 'The others',
    new_share Decimal(9, 4) COMMENT 'new_customers by customers',
    returning_share Decimal(9, 4) COMMENT 'returning_customers by customers'
)
AS SELECT
    transform(kind, [1, 2, 3], ['day', 'week', 'month'], '') AS period_kind,
    visit.2 AS period,
    count() AS customers,
    countIf(visit.3) AS new_customers,
    customers - new_customers AS returning_customers,
    round(toDecimal128(new_customers, 5) / customers, 4) AS new_share,
    round(toDecimal128(returning_customers, 5) / customers, 4) AS returning_share
FROM
(
    SELECT
        arrayCompact(arrayMap(day -> toMonday(day), days)) AS weeks,
        arrayCompact(arrayMap(day -> toStartOfMonth(day), days)) AS months,
        arrayJoin(arrayConcat(
            arrayMap((day, number) -> (1, day, number = 1), days, arrayEnumerate(days)),
            arrayMap((week, number) -> (2, week, number = 1), weeks, arrayEnumerate(weeks)),
            arrayMap((month, number) -> (3, month, number = 1), months, arrayEnumerate(months))
        )) AS visit,
        visit.1 AS kind
    FROM purchase_days
)
GROUP BY kind, period
COMMENT 'New and returning customers by day, week and month';

CREATE VIEW customer_cohorts
(
    cohort Date COMMENT 'First day of the month of a customer''s first completed order',
    months_since UInt32 COMMENT 'Months since then: 0 is the month itself',
    cohort_size UInt32 COMMENT 'Customers of the cohort',
    customers UInt32 COMMENT 'Those of them with a completed order in that month',
    share Decimal(9, 4) COMMENT 'customers by cohort_size'
)
AS SELECT
    cohort,
    dateDiff('month', cohort, month) AS months_since,
    max(count()) OVER (PARTITION BY cohort) AS cohort_size,
    count() AS customers,
    round(toDecimal128(customers, 5) / cohort_size, 4) AS share
FROM
(
    SELECT arrayCompact(arrayMap(day -> toStartOfMonth(day), days)) AS months, months[1] AS cohort, arrayJoin(months) AS month
    FROM purchase_days
)
GROUP BY cohort, month
COMMENT 'Customers by the month of their first purchase, and how many of them purchased again in each month since';
