-- model/sales/clickhouse/270: fact_order_items, one row for each line of an order.
-- Reads dim_product, order_keys and the current state of shop.order_items.
CREATE VIEW fact_order_items
(
    order_item_id Int64 COMMENT 'Line of an order',
    order_id Int64 COMMENT 'Order that it belongs to',
    order_date Date COMMENT 'Calendar day of ordered_at in the reporting time zone: key of dim_date',
    product_key Nullable(String) COMMENT 'Version of dim_product valid at ordered_at',
    product_current_key Nullable(String) COMMENT 'Version of dim_product valid now',
    customer_key Nullable(String) COMMENT 'Version of dim_customer valid at ordered_at',
    customer_current_key Nullable(String) COMMENT 'Version of dim_customer valid now',
    shop_key Nullable(String) COMMENT 'Version of dim_shop valid at ordered_at',
    shop_current_key Nullable(String) COMMENT 'Version of dim_shop valid now',
    location_key Nullable(String) COMMENT 'Location of the shop at ordered_at: key of dim_location',
    location_current_key Nullable(String) COMMENT 'Location of the shop now: key of dim_location',
    employee_key Nullable(String) COMMENT 'Version of dim_employee valid at ordered_at. Null for an order without a sales person',
    employee_current_key Nullable(String) COMMENT 'Version of dim_employee valid now',
    territory_key Nullable(String) COMMENT 'Version of dim_territory valid at ordered_at, of the order itself, whatever the shop belongs to',
    territory_current_key Nullable(String) COMMENT 'Version of dim_territory valid now',
    traffic_source_key Nullable(String) COMMENT 'Version of dim_traffic_source valid at ordered_at. Null in a physical shop',
    traffic_source_current_key Nullable(String) COMMENT 'Version of dim_traffic_source valid now',
    product_id Int32 COMMENT 'Product, whatever the version',
    customer_id Int64 COMMENT 'Customer, whatever the version',
    shop_id Int32 COMMENT 'Shop, whatever the version',
    employee_id Nullable(Int32) COMMENT 'Employee, whatever the version. Null for an order without a sales person',
    sales_territory_id Int32 COMMENT 'Territory, whatever the version',
    traffic_source_id Nullable(Int32) COMMENT 'Traffic source, whatever the version. Null in a physical shop',
    status String COMMENT 'created, paid, shipped, delivered, returned or cancelled',
    is_completed Bool COMMENT 'Whether the order was delivered and not returned: what counts as revenue',
    ordered_at DateTime64(6, 'UTC') COMMENT 'When it was ordered',
    quantity Int32 COMMENT 'Pieces ordered',
    price Decimal(15, 2) COMMENT 'Price of one piece when it was ordered',
    cost_price Decimal(15, 2) COMMENT 'Cost of one piece when it was ordered',
    intake_value Decimal(38, 2) COMMENT 'price times quantity, whatever the status of the order',
    revenue Decimal(38, 2) COMMENT 'The same if the order is completed, else 0',
    cost Decimal(38, 2) COMMENT 'cost_price times quantity if the order is completed, else 0',
    profit Decimal(38, 2) COMMENT 'revenue minus cost'
)
AS SELECT
    items.order_item_id AS order_item_id,
    items.order_id AS order_id,
    keys.order_date AS order_date,
    nullIf(products.version_key, '') AS product_key,
    nullIf(products.current_key, '') AS product_current_key,
    keys.customer_key AS customer_key,
    keys.customer_current_key AS customer_current_key,
    keys.shop_key AS shop_key,
    keys.shop_current_key AS shop_current_key,
    keys.location_key AS location_key,
    keys.location_current_key AS location_current_key,
    keys.employee_key AS employee_key,
    keys.employee_current_key AS employee_current_key,
    keys.territory_key AS territory_key,
    keys.territory_current_key AS territory_current_key,
    keys.traffic_source_key AS traffic_source_key,
    keys.traffic_source_current_key AS traffic_source_current_key,
    items.product_id AS product_id,
    keys.customer_id AS customer_id,
    keys.shop_id AS shop_id,
    keys.employee_id AS employee_id,
    keys.sales_territory_id AS sales_territory_id,
    keys.traffic_source_id AS traffic_source_id,
    keys.status AS status,
    keys.is_completed AS is_completed,
    keys.ordered_at AS ordered_at,
    items.quantity AS quantity,
    items.price AS price,
    items.cost_price AS cost_price,
    items.quantity * toDecimal128(items.price, 2) AS intake_value,
    if(keys.is_completed, items.quantity * toDecimal128(items.price, 2), 0) AS revenue,
    if(keys.is_completed, items.quantity * toDecimal128(items.cost_price, 2), 0) AS cost,
    revenue - cost AS profit
FROM (SELECT * FROM `shop.order_items.current` FINAL) AS items
INNER JOIN order_keys AS keys ON keys.order_id = items.order_id
ASOF LEFT JOIN
(
    SELECT
        product_id,
        if(start_date = min(start_date) OVER (PARTITION BY product_id), toDateTime64('1900-01-01', 6, 'UTC'), start_date) AS from_date,
        product_key AS version_key,
        maxIf(product_key, is_current) OVER (PARTITION BY product_id) AS current_key
    FROM dim_product
) AS products ON products.product_id = items.product_id AND products.from_date <= keys.ordered_at
COMMENT 'Lines of orders, a row per product in an order, with the keys of the order and of the product';
