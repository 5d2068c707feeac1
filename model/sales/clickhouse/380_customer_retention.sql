-- model/sales/clickhouse/380: the reports customer_retention and customer_cohorts.
-- May know: 100_sales_cube.
--
-- A purchase is a completed order. The days on which a customer purchased are those with completed orders behind them; everything else
-- follows from their order.
CREATE VIEW customer_retention
(
    period_kind String COMMENT 'day, week or month',
    period Date COMMENT 'The day, the Monday of the week or the first day of the month',
    customers UInt32 COMMENT 'Customers with a completed order in the period',
    new_customers UInt32 COMMENT 'Those whose first completed order ever lies in it',
    returning_customers UInt32 COMMENT 'The others',
    new_share Decimal(9, 4) COMMENT 'new_customers by customers',
    returning_share Decimal(9, 4) COMMENT 'returning_customers by customers'
)
AS SELECT
    visit.1 AS period_kind,
    visit.2 AS period,
    count() AS customers,
    countIf(visit.3) AS new_customers,
    customers - new_customers AS returning_customers,
    round(toDecimal128(new_customers, 5) / customers, 4) AS new_share,
    round(toDecimal128(returning_customers, 5) / customers, 4) AS returning_share
FROM
(
    SELECT
        arrayDistinct(arrayMap(day -> toMonday(day), days)) AS weeks,
        arrayDistinct(arrayMap(day -> toStartOfMonth(day), days)) AS months,
        arrayJoin(arrayConcat(
            arrayMap((day, number) -> ('day', day, number = 1), days, arrayEnumerate(days)),
            arrayMap((week, number) -> ('week', week, number = 1), weeks, arrayEnumerate(weeks)),
            arrayMap((month, number) -> ('month', month, number = 1), months, arrayEnumerate(months))
        )) AS visit
    FROM
    (
        SELECT arraySort(groupArray(day)) AS days
        FROM
        (
            SELECT customer_id, period AS day
            FROM sales_cube
            WHERE grain = 'customer_day'
            GROUP BY customer_id, day
            HAVING sum(orders) != 0
        )
        GROUP BY customer_id
    )
)
GROUP BY period_kind, period
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
    SELECT arraySort(groupArray(own_month)) AS months, months[1] AS cohort, arrayJoin(months) AS month
    FROM
    (
        SELECT customer_id, toStartOfMonth(period) AS own_month
        FROM sales_cube
        WHERE grain = 'customer_day'
        GROUP BY customer_id, own_month
        HAVING sum(orders) != 0
    )
    GROUP BY customer_id
)
GROUP BY cohort, month
COMMENT 'Customers by the month of their first purchase, and how many of them purchased again in each month since';
