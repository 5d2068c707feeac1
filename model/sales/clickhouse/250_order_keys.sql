-- model/sales/clickhouse/250: order_keys, every order with its dimension keys, for both facts.
-- Reads the current state of shop.orders, and the dimensions.
--
-- Dimensions are looked up at each read, so a version that arrives late is found too. An order gets
-- the version that was valid at ordered_at: the last one that started before. An order older than
-- all versions gets the first one, therefore the first one is looked up from 1900 on. A key is null
-- while the dimension's row has not arrived, and when the order has none. The current key is also
-- null when the dimension's row is deleted.
CREATE VIEW order_keys AS
SELECT
    orders.order_id AS order_id,
    toDate(orders.ordered_at, '{time_zone}') AS order_date,
    nullIf(customers.version_key, '') AS customer_key,
    nullIf(customers.current_key, '') AS customer_current_key,
    nullIf(shops.version_key, '') AS shop_key,
    nullIf(shops.current_key, '') AS shop_current_key,
    nullIf(shops.location_key, '') AS location_key,
    nullIf(shops.current_location_key, '') AS location_current_key,
    nullIf(employees.version_key, '') AS employee_key,
    nullIf(employees.current_key, '') AS employee_current_key,
    nullIf(territories.version_key, '') AS territory_key,
    nullIf(territories.current_key, '') AS territory_current_key,
    nullIf(traffic_sources.version_key, '') AS traffic_source_key,
    nullIf(traffic_sources.current_key, '') AS traffic_source_current_key,
    orders.customer_id AS customer_id,
    orders.shop_id AS shop_id,
    orders.employee_id AS employee_id,
    orders.sales_territory_id AS sales_territory_id,
    orders.traffic_source_id AS traffic_source_id,
    orders.status AS status,
    toBool(orders.status = 'delivered') AS is_completed,
    orders.ordered_at AS ordered_at,
    orders.paid_at AS paid_at,
    orders.shipped_at AS shipped_at,
    orders.delivered_at AS delivered_at,
    orders.cancelled_at AS cancelled_at,
    orders.returned_at AS returned_at
FROM (SELECT * FROM `shop.orders.current` FINAL) AS orders
ASOF LEFT JOIN
(
    SELECT
        customer_id,
        if(start_date = min(start_date) OVER (PARTITION BY customer_id), toDateTime64('1900-01-01', 6, 'UTC'), start_date) AS from_date,
        customer_key AS version_key,
        maxIf(customer_key, is_current) OVER (PARTITION BY customer_id) AS current_key
    FROM dim_customer
) AS customers ON customers.customer_id = orders.customer_id AND customers.from_date <= orders.ordered_at
ASOF LEFT JOIN
(
    SELECT
        shop_id,
        if(start_date = min(start_date) OVER (PARTITION BY shop_id), toDateTime64('1900-01-01', 6, 'UTC'), start_date) AS from_date,
        shop_key AS version_key,
        maxIf(shop_key, is_current) OVER (PARTITION BY shop_id) AS current_key,
        location_key,
        maxIf(location_key, is_current) OVER (PARTITION BY shop_id) AS current_location_key
    FROM dim_shop
) AS shops ON shops.shop_id = orders.shop_id AND shops.from_date <= orders.ordered_at
ASOF LEFT JOIN
(
    SELECT
        employee_id,
        if(start_date = min(start_date) OVER (PARTITION BY employee_id), toDateTime64('1900-01-01', 6, 'UTC'), start_date) AS from_date,
        employee_key AS version_key,
        maxIf(employee_key, is_current) OVER (PARTITION BY employee_id) AS current_key
    FROM dim_employee
) AS employees ON employees.employee_id = orders.employee_id AND employees.from_date <= orders.ordered_at
ASOF LEFT JOIN
(
    SELECT
        sales_territory_id,
        if(start_date = min(start_date) OVER (PARTITION BY sales_territory_id), toDateTime64('1900-01-01', 6, 'UTC'), start_date) AS from_date,
        territory_key AS version_key,
        maxIf(territory_key, is_current) OVER (PARTITION BY sales_territory_id) AS current_key
    FROM dim_territory
) AS territories ON territories.sales_territory_id = orders.sales_territory_id AND territories.from_date <= orders.ordered_at
ASOF LEFT JOIN
(
    SELECT
        traffic_source_id,
        if(start_date = min(start_date) OVER (PARTITION BY traffic_source_id), toDateTime64('1900-01-01', 6, 'UTC'), start_date) AS from_date,
        traffic_source_key AS version_key,
        maxIf(traffic_source_key, is_current) OVER (PARTITION BY traffic_source_id) AS current_key
    FROM dim_traffic_source
) AS traffic_sources ON traffic_sources.traffic_source_id = orders.traffic_source_id AND traffic_sources.from_date <= orders.ordered_at
COMMENT 'Orders with the keys of their dimensions: the versions valid at ordered_at, and those valid now';
