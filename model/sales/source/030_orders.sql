-- model/sales/source/030: orders and their items, which most reports count.
-- Refers to the tables of 010_reference and 020_customers.

DO $$
BEGIN
  IF to_regtype('shop.order_status') IS NULL THEN
    CREATE TYPE shop.order_status AS ENUM ('created', 'paid', 'shipped', 'delivered', 'returned', 'cancelled');
  END IF;
END
$$;
COMMENT ON TYPE shop.order_status IS 'created, paid, shipped, delivered, returned; or cancelled before shipping.';

-- Reports count orders by calendar day. A day is a ClickHouse Date, from 1970 to 2149: these are
-- the bounds of ordered_at.
CREATE TABLE IF NOT EXISTS shop.orders (
  order_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES shop.customers,
  shop_id integer NOT NULL REFERENCES shop.shops,
  employee_id integer REFERENCES shop.employees,
  sales_territory_id integer NOT NULL REFERENCES shop.sales_territories,
  traffic_source_id integer REFERENCES shop.traffic_sources,
  status shop.order_status NOT NULL,
  ordered_at timestamptz NOT NULL CHECK (ordered_at >= '2000-01-01 00:00+00' AND ordered_at < '2100-01-01 00:00+00'),
  paid_at timestamptz,
  shipped_at timestamptz,
  delivered_at timestamptz,
  cancelled_at timestamptz,
  returned_at timestamptz,
  updated_at timestamptz NOT NULL,
  CONSTRAINT status_has_its_time CHECK (
    (status IN ('created', 'cancelled') OR paid_at IS NOT NULL)
    AND (status IN ('shipped', 'delivered', 'returned')) = (shipped_at IS NOT NULL)
    AND (status IN ('delivered', 'returned')) = (delivered_at IS NOT NULL)
    AND (status = 'returned') = (returned_at IS NOT NULL)
    AND (status = 'cancelled') = (cancelled_at IS NOT NULL)
  )
);
COMMENT ON TABLE shop.orders IS 'Orders, from the click to the delivery or the return.';
COMMENT ON COLUMN shop.orders.order_id IS 'Generated number of the order.';
COMMENT ON COLUMN shop.orders.customer_id IS 'Who ordered.';
COMMENT ON COLUMN shop.orders.shop_id IS 'Shop that took the order.';
COMMENT ON COLUMN shop.orders.employee_id IS 'Who sold it; null for an order without a sales person.';
COMMENT ON COLUMN shop.orders.sales_territory_id IS 'Territory the sale counts for.';
COMMENT ON COLUMN shop.orders.traffic_source_id IS 'Where the customer came from; null in a physical shop.';
COMMENT ON COLUMN shop.orders.status IS 'created, paid, shipped, delivered, returned; or cancelled before shipping.';
COMMENT ON COLUMN shop.orders.ordered_at IS 'When it was ordered; the day of every report is a day of this column.';
COMMENT ON COLUMN shop.orders.paid_at IS 'When it was paid; null before, and for orders cancelled unpaid.';
COMMENT ON COLUMN shop.orders.shipped_at IS 'When it left the warehouse; null before.';
COMMENT ON COLUMN shop.orders.delivered_at IS 'When the customer had it; null before.';
COMMENT ON COLUMN shop.orders.cancelled_at IS 'When it was cancelled; null unless it was.';
COMMENT ON COLUMN shop.orders.returned_at IS 'When it came back; null unless it did.';
COMMENT ON COLUMN shop.orders.updated_at IS 'When the row was last written.';
CREATE INDEX IF NOT EXISTS orders_customer_id ON shop.orders (customer_id);
CREATE INDEX IF NOT EXISTS orders_open ON shop.orders (order_id) WHERE status IN ('created', 'paid', 'shipped');
ALTER TABLE shop.orders REPLICA IDENTITY FULL;

CREATE TABLE IF NOT EXISTS shop.order_items (
  order_item_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id bigint NOT NULL REFERENCES shop.orders ON DELETE CASCADE,
  product_id integer NOT NULL REFERENCES shop.products,
  quantity integer NOT NULL CHECK (quantity > 0),
  price numeric(15,2) NOT NULL CHECK (price >= 0),
  cost_price numeric(15,2) NOT NULL CHECK (cost_price >= 0)
);
COMMENT ON TABLE shop.order_items IS 'Lines of an order.';
COMMENT ON COLUMN shop.order_items.order_item_id IS 'Generated number of the line.';
COMMENT ON COLUMN shop.order_items.order_id IS 'Order the line belongs to; it is deleted with it.';
COMMENT ON COLUMN shop.order_items.product_id IS 'What was sold.';
COMMENT ON COLUMN shop.order_items.quantity IS 'Number of pieces.';
COMMENT ON COLUMN shop.order_items.price IS 'Price of one piece when it was ordered.';
COMMENT ON COLUMN shop.order_items.cost_price IS 'Cost of one piece when it was ordered.';
CREATE INDEX IF NOT EXISTS order_items_order_id ON shop.order_items (order_id);
ALTER TABLE shop.order_items REPLICA IDENTITY FULL;
