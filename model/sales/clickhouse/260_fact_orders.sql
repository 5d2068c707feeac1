-- model/sales/clickhouse/260: fact_orders, one row for each order.
-- Reads order_keys and the current state of shop.order_items.
CREATE VIEW fact_orders
(
    order_id Int64 COMMENT 'Order',
    order_date Date COMMENT 'Calendar day of ordered_at in the reporting time zone: key of dim_date',
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
    customer_id Int64 COMMENT 'Customer, whatever the version',
    shop_id Int32 COMMENT 'Shop, whatever the version',
    employee_id Nullable(Int32) COMMENT 'Employee, whatever the version. Null for an order without a sales person',
    sales_territory_id Int32 COMMENT 'Territory, whatever the version',
    traffic_source_id Nullable(Int32) COMMENT 'Traffic source, whatever the version. Null in a physical shop',
    status String COMMENT 'created, paid, shipped, delivered, returned or cancelled',
    is_completed Bool COMMENT 'Whether the order was delivered and not returned: what counts as revenue',
    ordered_at DateTime64(6, 'UTC') COMMENT 'When it was ordered',
    paid_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was paid. Null before, and for orders cancelled unpaid',
    shipped_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When it left the warehouse. Null before',
    delivered_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When the customer had it. Null before',
    cancelled_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was cancelled. Null unless it was',
    returned_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When it came back. Null unless it did',
    units Int64 COMMENT 'Pieces ordered',
    intake_value Decimal(38, 2) COMMENT 'Sum of price times quantity, whatever the status',
    revenue Decimal(38, 2) COMMENT 'The same if the order is completed, else 0',
    cost Decimal(38, 2) COMMENT 'Sum of cost_price times quantity if the order is completed, else 0',
    profit Decimal(38, 2) COMMENT 'revenue minus cost'
)
AS SELECT
    keys.order_id AS order_id,
    keys.order_date AS order_date,
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
    keys.customer_id AS customer_id,
    keys.shop_id AS shop_id,
    keys.employee_id AS employee_id,
    keys.sales_territory_id AS sales_territory_id,
    keys.traffic_source_id AS traffic_source_id,
    keys.status AS status,
    keys.is_completed AS is_completed,
    keys.ordered_at AS ordered_at,
    keys.paid_at AS paid_at,
    keys.shipped_at AS shipped_at,
    keys.delivered_at AS delivered_at,
    keys.cancelled_at AS cancelled_at,
    keys.returned_at AS returned_at,
    lines.pieces AS units,
    lines.amount AS intake_value,
    if(keys.is_completed, lines.amount, 0) AS revenue,
    if(keys.is_completed, lines.cost_amount, 0) AS cost,
    revenue - cost AS profit
FROM order_keys AS keys
LEFT JOIN
(
    SELECT
        order_id,
        sum(quantity) AS pieces,
        sum(quantity * toDecimal128(price, 2)) AS amount,
        sum(quantity * toDecimal128(cost_price, 2)) AS cost_amount
    FROM `shop.order_items.current` FINAL
    GROUP BY order_id
) AS lines ON lines.order_id = keys.order_id
COMMENT 'Orders, a row per order that is not deleted, whatever its status';
