// test/support/oracles/sales-example-reports: every report about the shop of
// test/support/fixtures/sales-example, computed by hand.
// The columns come first, then the rows in any order. A dash means NULL, an underscore a space.

export const exampleReports: Readonly<Record<string, string>> = {
  daily_sales_stats: `
    date total_orders total_items_sold total_revenue total_cost total_profit average_order_value
    2024-05-15 1 1 20 5 15 20
    2024-05-16 1 0 0 0 0 0
    2024-11-02 1 2 20 8 12 20
    2025-03-09 1 6 40 16 24 40
    2025-11-01 1 0 0 0 0 0
    2025-11-02 1 2 30 9 21 30`,
  territory_top_customers: `
    sales_territory_id territory_name rank customer_id customer_name orders revenue avg_days_between_purchases average_purchase_price
    1 North 1 1 Customer1 2 50 365 25
    2 South 1 1 Customer1 1 20 - 20
    2 South 2 2 Customer2 1 0 - 0
    2 South 3 3 Customer3 1 0 - 0
    3 Quebec 1 3 Customer3 1 40 - 40`,
  top_employees: `
    scope period sales_territory_id territory_name rank employee_id employee_name product_id product_name units sales_amount
    overall - - - 1 1 Ann 1 Apple 5 50
    overall - - - 2 1 Ann 2 Pear 4 20
    overall - - - 3 1 Ann 3 Ball 1 20
    overall - - - 4 2 Bob 3 Ball 1 20
    year 2024-01-01 - - 1 1 Ann 1 Apple 2 20
    year 2024-01-01 - - 2 2 Bob 3 Ball 1 20
    year 2025-01-01 - - 1 1 Ann 1 Apple 3 30
    year 2025-01-01 - - 2 1 Ann 2 Pear 4 20
    year 2025-01-01 - - 3 1 Ann 3 Ball 1 20
    quarter 2024-04-01 - - 1 2 Bob 3 Ball 1 20
    quarter 2024-10-01 - - 1 1 Ann 1 Apple 2 20
    quarter 2025-01-01 - - 1 1 Ann 1 Apple 2 20
    quarter 2025-01-01 - - 2 1 Ann 2 Pear 4 20
    quarter 2025-10-01 - - 1 1 Ann 3 Ball 1 20
    quarter 2025-10-01 - - 2 1 Ann 1 Apple 1 10
    month 2024-05-01 - - 1 2 Bob 3 Ball 1 20
    month 2024-11-01 - - 1 1 Ann 1 Apple 2 20
    month 2025-03-01 - - 1 1 Ann 1 Apple 2 20
    month 2025-03-01 - - 2 1 Ann 2 Pear 4 20
    month 2025-11-01 - - 1 1 Ann 3 Ball 1 20
    month 2025-11-01 - - 2 1 Ann 1 Apple 1 10
    territory - 1 North 1 1 Ann 1 Apple 3 30
    territory - 1 North 2 1 Ann 3 Ball 1 20
    territory - 2 South 1 2 Bob 3 Ball 1 20
    territory - 3 Quebec 1 1 Ann 1 Apple 2 20
    territory - 3 Quebec 2 1 Ann 2 Pear 4 20`,
  sales_yoy: `
    level country sales_territory_id territory_name shop_id shop_name period_kind period orders revenue orders_year_before revenue_year_before revenue_change revenue_change_percent
    total - - - - - month 2024-05-01 2 20 0 0 20 -
    total - - - - - month 2024-11-01 1 20 0 0 20 -
    total - - - - - month 2025-03-01 1 40 0 0 40 -
    total - - - - - month 2025-05-01 0 0 2 20 -20 -100
    total - - - - - month 2025-11-01 2 30 1 20 10 50
    total - - - - - quarter 2024-04-01 2 20 0 0 20 -
    total - - - - - quarter 2024-10-01 1 20 0 0 20 -
    total - - - - - quarter 2025-01-01 1 40 0 0 40 -
    total - - - - - quarter 2025-04-01 0 0 2 20 -20 -100
    total - - - - - quarter 2025-10-01 2 30 1 20 10 50
    country US - - - - month 2024-05-01 2 20 0 0 20 -
    country US - - - - month 2024-11-01 1 20 0 0 20 -
    country CA - - - - month 2025-03-01 1 40 0 0 40 -
    country US - - - - month 2025-05-01 0 0 2 20 -20 -100
    country US - - - - month 2025-11-01 2 30 1 20 10 50
    country US - - - - quarter 2024-04-01 2 20 0 0 20 -
    country US - - - - quarter 2024-10-01 1 20 0 0 20 -
    country CA - - - - quarter 2025-01-01 1 40 0 0 40 -
    country US - - - - quarter 2025-04-01 0 0 2 20 -20 -100
    country US - - - - quarter 2025-10-01 2 30 1 20 10 50
    territory US 2 South - - month 2024-05-01 2 20 0 0 20 -
    territory US 1 North - - month 2024-11-01 1 20 0 0 20 -
    territory CA 3 Quebec - - month 2025-03-01 1 40 0 0 40 -
    territory US 2 South - - month 2025-05-01 0 0 2 20 -20 -100
    territory US 1 North - - month 2025-11-01 1 30 1 20 10 50
    territory US 2 South - - month 2025-11-01 1 0 0 0 0 -
    territory US 2 South - - quarter 2024-04-01 2 20 0 0 20 -
    territory US 1 North - - quarter 2024-10-01 1 20 0 0 20 -
    territory CA 3 Quebec - - quarter 2025-01-01 1 40 0 0 40 -
    territory US 2 South - - quarter 2025-04-01 0 0 2 20 -20 -100
    territory US 1 North - - quarter 2025-10-01 1 30 1 20 10 50
    territory US 2 South - - quarter 2025-10-01 1 0 0 0 0 -
    shop US 2 South 2 B month 2024-05-01 2 20 0 0 20 -
    shop US 1 North 1 A month 2024-11-01 1 20 0 0 20 -
    shop CA 3 Quebec 3 C month 2025-03-01 1 40 0 0 40 -
    shop US 2 South 2 B month 2025-05-01 0 0 2 20 -20 -100
    shop US 1 North 1 A month 2025-11-01 1 30 1 20 10 50
    shop US 2 South 1 A month 2025-11-01 1 0 0 0 0 -
    shop US 2 South 2 B quarter 2024-04-01 2 20 0 0 20 -
    shop US 1 North 1 A quarter 2024-10-01 1 20 0 0 20 -
    shop CA 3 Quebec 3 C quarter 2025-01-01 1 40 0 0 40 -
    shop US 2 South 2 B quarter 2025-04-01 0 0 2 20 -20 -100
    shop US 1 North 1 A quarter 2025-10-01 1 30 1 20 10 50
    shop US 2 South 1 A quarter 2025-10-01 1 0 0 0 0 -`,
  sales_by_region: `
    country region orders_today intake_value_today revenue_today orders_last_hour intake_value_last_hour revenue_last_hour orders_last_minute intake_value_last_minute revenue_last_minute
    US East 3 65 30 2 35 0 1 20 0
    CA North 1 9 0 1 9 0 1 9 0
    US West 0 0 0 0 0 0 0 0 0`,
  intake_vs_revenue: `
    level country city shop_id shop_name period_kind period orders intake_value completed_orders revenue drop_off_rate
    country US - - - day 2024-05-15 1 20 1 20 0
    country US - - - day 2024-05-16 1 0 1 0 -
    country US - - - day 2024-11-02 1 20 1 20 0
    country CA - - - day 2025-03-09 1 40 1 40 0
    country US - - - day 2025-10-31 1 5 0 0 1
    country US - - - day 2025-11-01 1 0 1 0 -
    country US - - - day 2025-11-02 3 65 1 30 0.5385
    country CA - - - day 2025-11-02 1 9 0 0 1
    country US - - - week 2024-05-13 2 20 2 20 0
    country US - - - week 2024-10-28 1 20 1 20 0
    country CA - - - week 2025-03-03 1 40 1 40 0
    country US - - - week 2025-10-27 5 70 2 30 0.5714
    country CA - - - week 2025-10-27 1 9 0 0 1
    country US - - - month 2024-05-01 2 20 2 20 0
    country US - - - month 2024-11-01 1 20 1 20 0
    country CA - - - month 2025-03-01 1 40 1 40 0
    country US - - - month 2025-10-01 1 5 0 0 1
    country US - - - month 2025-11-01 4 65 2 30 0.5385
    country CA - - - month 2025-11-01 1 9 0 0 1
    city US Boston - - day 2024-05-15 1 20 1 20 0
    city US Boston - - day 2024-05-16 1 0 1 0 -
    city US Albany - - day 2024-11-02 1 20 1 20 0
    city CA Albany - - day 2025-03-09 1 40 1 40 0
    city US Albany - - day 2025-10-31 1 5 0 0 1
    city US Albany - - day 2025-11-01 1 0 1 0 -
    city US Albany - - day 2025-11-02 1 30 1 30 0
    city US Boston - - day 2025-11-02 2 35 0 0 1
    city CA Albany - - day 2025-11-02 1 9 0 0 1
    city US Boston - - week 2024-05-13 2 20 2 20 0
    city US Albany - - week 2024-10-28 1 20 1 20 0
    city CA Albany - - week 2025-03-03 1 40 1 40 0
    city US Albany - - week 2025-10-27 3 35 2 30 0.1429
    city US Boston - - week 2025-10-27 2 35 0 0 1
    city CA Albany - - week 2025-10-27 1 9 0 0 1
    city US Boston - - month 2024-05-01 2 20 2 20 0
    city US Albany - - month 2024-11-01 1 20 1 20 0
    city CA Albany - - month 2025-03-01 1 40 1 40 0
    city US Albany - - month 2025-10-01 1 5 0 0 1
    city US Albany - - month 2025-11-01 2 30 2 30 0
    city US Boston - - month 2025-11-01 2 35 0 0 1
    city CA Albany - - month 2025-11-01 1 9 0 0 1
    shop US Boston 2 B day 2024-05-15 1 20 1 20 0
    shop US Boston 2 B day 2024-05-16 1 0 1 0 -
    shop US Albany 1 A day 2024-11-02 1 20 1 20 0
    shop CA Albany 3 C day 2025-03-09 1 40 1 40 0
    shop US Albany 1 A day 2025-10-31 1 5 0 0 1
    shop US Albany 1 A day 2025-11-01 1 0 1 0 -
    shop US Albany 1 A day 2025-11-02 1 30 1 30 0
    shop US Boston 2 B day 2025-11-02 2 35 0 0 1
    shop CA Albany 3 C day 2025-11-02 1 9 0 0 1
    shop US Boston 2 B week 2024-05-13 2 20 2 20 0
    shop US Albany 1 A week 2024-10-28 1 20 1 20 0
    shop CA Albany 3 C week 2025-03-03 1 40 1 40 0
    shop US Albany 1 A week 2025-10-27 3 35 2 30 0.1429
    shop US Boston 2 B week 2025-10-27 2 35 0 0 1
    shop CA Albany 3 C week 2025-10-27 1 9 0 0 1
    shop US Boston 2 B month 2024-05-01 2 20 2 20 0
    shop US Albany 1 A month 2024-11-01 1 20 1 20 0
    shop CA Albany 3 C month 2025-03-01 1 40 1 40 0
    shop US Albany 1 A month 2025-10-01 1 5 0 0 1
    shop US Albany 1 A month 2025-11-01 2 30 2 30 0
    shop US Boston 2 B month 2025-11-01 2 35 0 0 1
    shop CA Albany 3 C month 2025-11-01 1 9 0 0 1`,
  shipping_lag: `
    shop_id shop_name city week shipped_orders avg_hours_to_ship median_hours_to_ship p95_hours_to_ship delivered_orders avg_hours_to_deliver median_hours_to_deliver p95_hours_to_deliver open_orders oldest_open_hours avg_open_hours
    1 A Albany 2024-10-28 1 1 1 1 1 24 23 23 0 - -
    1 A Albany 2025-10-27 2 0.33 0 0 2 0.67 0 1 1 47 48
    2 B Boston 2024-05-13 2 2.25 1 3 2 25 2 48 0 - -
    2 B Boston 2025-10-27 1 0.08 0 0 1 0.17 0 0 0 - -
    3 C Albany 2025-03-03 1 2.5 2 2 1 24 24 24 0 - -
    3 C Albany 2025-10-27 0 - - - 0 - - - 1 0 0`,
  customer_retention: `
    period_kind period customers new_customers returning_customers new_share returning_share
    day 2024-05-15 1 1 0 1 0
    day 2024-05-16 1 1 0 1 0
    day 2024-11-02 1 0 1 0 1
    day 2025-03-09 1 0 1 0 1
    day 2025-11-01 1 1 0 1 0
    day 2025-11-02 1 0 1 0 1
    week 2024-05-13 2 2 0 1 0
    week 2024-10-28 1 0 1 0 1
    week 2025-03-03 1 0 1 0 1
    week 2025-10-27 2 1 1 0.5 0.5
    month 2024-05-01 2 2 0 1 0
    month 2024-11-01 1 0 1 0 1
    month 2025-03-01 1 0 1 0 1
    month 2025-11-01 2 1 1 0.5 0.5`,
  customer_cohorts: `
    cohort months_since cohort_size customers share
    2024-05-01 0 2 2 1
    2024-05-01 6 2 1 0.5
    2024-05-01 10 2 1 0.5
    2024-05-01 18 2 1 0.5
    2025-11-01 0 1 1 1`,
  revenue_by_quarter: `
    level country sales_territory_id territory_name shop_id shop_name quarter orders units revenue cost profit
    total - - - - - 2024-04-01 2 1 20 5 15
    total - - - - - 2024-10-01 1 2 20 8 12
    total - - - - - 2025-01-01 1 6 40 16 24
    total - - - - - 2025-10-01 2 2 30 9 21
    country US - - - - 2024-04-01 2 1 20 5 15
    country US - - - - 2024-10-01 1 2 20 8 12
    country CA - - - - 2025-01-01 1 6 40 16 24
    country US - - - - 2025-10-01 2 2 30 9 21
    territory US 2 South - - 2024-04-01 2 1 20 5 15
    territory US 1 North - - 2024-10-01 1 2 20 8 12
    territory CA 3 Quebec - - 2025-01-01 1 6 40 16 24
    territory US 1 North - - 2025-10-01 1 2 30 9 21
    territory US 2 South - - 2025-10-01 1 0 0 0 0
    shop US 2 South 2 B 2024-04-01 2 1 20 5 15
    shop US 1 North 1 A 2024-10-01 1 2 20 8 12
    shop CA 3 Quebec 3 C 2025-01-01 1 6 40 16 24
    shop US 1 North 1 A 2025-10-01 1 2 30 9 21
    shop US 2 South 1 A 2025-10-01 1 0 0 0 0`,
  revenue_by_category: `
    level quarter category_id category subcategory_id subcategory country units revenue cost profit revenue_share
    category 2024-04-01 3 Toys - - US 1 20 5 15 1
    category 2024-04-01 3 Toys - - - 1 20 5 15 1
    category 2024-10-01 1 Food - - US 2 20 8 12 1
    category 2024-10-01 1 Food - - - 2 20 8 12 1
    category 2025-01-01 1 Food - - CA 6 40 16 24 1
    category 2025-01-01 1 Food - - - 6 40 16 24 1
    category 2025-10-01 1 Food - - US 1 10 4 6 0.3333
    category 2025-10-01 1 Food - - - 1 10 4 6 0.3333
    category 2025-10-01 3 Toys - - US 1 20 5 15 0.6667
    category 2025-10-01 3 Toys - - - 1 20 5 15 0.6667
    subcategory 2024-10-01 1 Food 2 Fruit US 2 20 8 12 1
    subcategory 2024-10-01 1 Food 2 Fruit - 2 20 8 12 1
    subcategory 2025-01-01 1 Food 2 Fruit CA 6 40 16 24 1
    subcategory 2025-01-01 1 Food 2 Fruit - 6 40 16 24 1
    subcategory 2025-10-01 1 Food 2 Fruit US 1 10 4 6 0.3333
    subcategory 2025-10-01 1 Food 2 Fruit - 1 10 4 6 0.3333`,
  traffic_pivot: `
    month traffic_source_id traffic_source channel visits cost orders completed_orders revenue conversion cost_per_order revenue_direct revenue_search revenue_email revenue_social revenue_partner visits_direct visits_search visits_email visits_social visits_partner cost_direct cost_search cost_email cost_social cost_partner orders_direct orders_search orders_email orders_social orders_partner
    2024-11-01 1 Typed direct 0 0 1 1 20 - 0 20 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0
    2024-11-01 0 All_sources all 0 0 1 1 20 - 0 20 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0
    2025-03-01 3 Mail email 0 0 1 1 40 - 0 0 0 40 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0
    2025-03-01 0 All_sources all 0 0 1 1 40 - 0 0 0 40 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0
    2025-08-01 3 Mail email 1 1 0 0 0 0 - 0 0 0 0 0 0 0 1 0 0 0 0 1 0 0 0 0 0 0 0
    2025-08-01 0 All_sources all 1 1 0 0 0 0 - 0 0 0 0 0 0 0 1 0 0 0 0 1 0 0 0 0 0 0 0
    2025-10-01 1 Typed direct 1 0 1 0 0 1 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 1 0 0 0 0
    2025-10-01 0 All_sources all 1 0 1 0 0 1 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 1 0 0 0 0
    2025-11-01 1 Typed direct 0 0 1 0 0 - 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0
    2025-11-01 2 Ads search 2 0.75 2 1 30 1 0.38 0 30 0 0 0 0 2 0 0 0 0 0.75 0 0 0 0 2 0 0 0
    2025-11-01 3 Mail email 0 0 1 0 0 - 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0
    2025-11-01 0 All_sources all 2 0.75 4 1 30 2 0.19 0 30 0 0 0 0 2 0 0 0 0 0.75 0 0 0 1 2 1 0 0`,
  top_products: `
    period_kind period country category_id category subcategory product_id product_name units revenue rank_by_units rank_by_revenue
    overall - - 1 Food Fruit 1 Apple 5 50 1 1
    overall - - 1 Food Fruit 2 Pear 4 20 2 2
    overall - - 3 Toys - 3 Ball 2 40 1 1
    overall - US 1 Food Fruit 1 Apple 3 30 1 1
    overall - US 3 Toys - 3 Ball 2 40 1 1
    overall - CA 1 Food Fruit 1 Apple 2 20 2 1
    overall - CA 1 Food Fruit 2 Pear 4 20 1 2
    year 2024-01-01 - 1 Food Fruit 1 Apple 2 20 1 1
    year 2024-01-01 - 3 Toys - 3 Ball 1 20 1 1
    year 2024-01-01 US 1 Food Fruit 1 Apple 2 20 1 1
    year 2024-01-01 US 3 Toys - 3 Ball 1 20 1 1
    year 2025-01-01 - 1 Food Fruit 1 Apple 3 30 2 1
    year 2025-01-01 - 1 Food Fruit 2 Pear 4 20 1 2
    year 2025-01-01 - 3 Toys - 3 Ball 1 20 1 1
    year 2025-01-01 US 1 Food Fruit 1 Apple 1 10 1 1
    year 2025-01-01 US 3 Toys - 3 Ball 1 20 1 1
    year 2025-01-01 CA 1 Food Fruit 1 Apple 2 20 2 1
    year 2025-01-01 CA 1 Food Fruit 2 Pear 4 20 1 2
    quarter 2024-04-01 - 3 Toys - 3 Ball 1 20 1 1
    quarter 2024-04-01 US 3 Toys - 3 Ball 1 20 1 1
    quarter 2024-10-01 - 1 Food Fruit 1 Apple 2 20 1 1
    quarter 2024-10-01 US 1 Food Fruit 1 Apple 2 20 1 1
    quarter 2025-01-01 - 1 Food Fruit 1 Apple 2 20 2 1
    quarter 2025-01-01 - 1 Food Fruit 2 Pear 4 20 1 2
    quarter 2025-01-01 CA 1 Food Fruit 1 Apple 2 20 2 1
    quarter 2025-01-01 CA 1 Food Fruit 2 Pear 4 20 1 2
    quarter 2025-10-01 - 1 Food Fruit 1 Apple 1 10 1 1
    quarter 2025-10-01 - 3 Toys - 3 Ball 1 20 1 1
    quarter 2025-10-01 US 1 Food Fruit 1 Apple 1 10 1 1
    quarter 2025-10-01 US 3 Toys - 3 Ball 1 20 1 1
    month 2024-05-01 - 3 Toys - 3 Ball 1 20 1 1
    month 2024-05-01 US 3 Toys - 3 Ball 1 20 1 1
    month 2024-11-01 - 1 Food Fruit 1 Apple 2 20 1 1
    month 2024-11-01 US 1 Food Fruit 1 Apple 2 20 1 1
    month 2025-03-01 - 1 Food Fruit 1 Apple 2 20 2 1
    month 2025-03-01 - 1 Food Fruit 2 Pear 4 20 1 2
    month 2025-03-01 CA 1 Food Fruit 1 Apple 2 20 2 1
    month 2025-03-01 CA 1 Food Fruit 2 Pear 4 20 1 2
    month 2025-11-01 - 1 Food Fruit 1 Apple 1 10 1 1
    month 2025-11-01 - 3 Toys - 3 Ball 1 20 1 1
    month 2025-11-01 US 1 Food Fruit 1 Apple 1 10 1 1
    month 2025-11-01 US 3 Toys - 3 Ball 1 20 1 1`,
}
