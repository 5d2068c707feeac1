// test/support/sales-example: a shop of eleven orders, small enough to work out by hand what every report says about it.
// What the reports say: test/support/sales-example-reports.

export const exampleTimeZone = 'America/New_York'

/** 01:30:30 on the day when the clocks go back, the first time round. */
export const exampleMoment = '2025-11-02T05:30:30Z'

/** Order 3 is a microsecond before midnight, order 2 at midnight; order 7 is on the day when the clocks go forward; order 8 is deleted. */
export const exampleShop = `
INSERT INTO shop.sales_territories (sales_territory_id, name, region, country) OVERRIDING SYSTEM VALUE VALUES
  (1, 'North', 'East', 'US'), (2, 'South', 'East', 'US'), (3, 'Quebec', 'North', 'CA'), (4, 'Empty', 'West', 'US');
INSERT INTO shop.shops (shop_id, name, city, sales_territory_id, opened_on) OVERRIDING SYSTEM VALUE VALUES
  (1, 'A', 'Albany', 1, '2020-01-01'), (2, 'B', 'Boston', 2, '2020-01-01'), (3, 'C', 'Albany', 3, '2020-01-01');
INSERT INTO shop.employees (employee_id, full_name, email, role, sales_territory_id, hired_on) OVERRIDING SYSTEM VALUE VALUES
  (1, 'Ann', 'ann@example.com', 'sales_person', 1, '2020-01-01'), (2, 'Bob', 'bob@example.com', 'sales_person', 2, '2020-01-01');
INSERT INTO shop.categories (category_id, parent_id, name) OVERRIDING SYSTEM VALUE VALUES
  (1, NULL, 'Food'), (2, 1, 'Fruit'), (3, NULL, 'Toys');
INSERT INTO shop.products (product_id, name, category_id, price, cost_price, active, updated_at) OVERRIDING SYSTEM VALUE VALUES
  (1, 'Apple', 2, 99, 99, true, now()), (2, 'Pear', 2, 99, 99, true, now()), (3, 'Ball', 3, 99, 99, true, now());
INSERT INTO shop.traffic_sources (traffic_source_id, name, channel) OVERRIDING SYSTEM VALUE VALUES
  (1, 'Typed', 'direct'), (2, 'Ads', 'search'), (3, 'Mail', 'email'), (4, 'Unused', 'partner');
INSERT INTO shop.customers (customer_id, full_name, email, city, country, marketing_consent, created_at, updated_at) OVERRIDING SYSTEM VALUE
  SELECT g, 'Customer' || g, g || '@example.com', 'Albany', 'US', true, now(), now() FROM generate_series(1, 3) g;

INSERT INTO shop.orders (order_id, customer_id, shop_id, employee_id, sales_territory_id, traffic_source_id, status, ordered_at,
  paid_at, shipped_at, delivered_at, cancelled_at, returned_at, updated_at) OVERRIDING SYSTEM VALUE VALUES
  (1, 1, 1, 1, 1, 1, 'delivered', '2024-11-03 03:59:59.9Z', now(), '2024-11-03 05:00:00Z', '2024-11-04 03:59:58Z', NULL, NULL, now()),
  (2, 1, 1, 1, 1, 2, 'delivered', '2025-11-02 04:00:00Z', now(), '2025-11-02 04:10:00Z', '2025-11-02 04:20:00Z', NULL, NULL, now()),
  (3, 2, 1, NULL, 2, NULL, 'delivered', '2025-11-02 03:59:59.999999Z', now(), '2025-11-02 04:29:59Z', '2025-11-02 04:59:59Z', NULL, NULL, now()),
  (4, 2, 2, 2, 2, 2, 'returned', '2025-11-02 05:00:00Z', now(), '2025-11-02 05:05:00Z', '2025-11-02 05:10:00Z', NULL, '2025-11-02 05:20:00Z', now()),
  (5, 3, 2, 2, 2, 1, 'cancelled', '2025-11-02 05:30:00Z', NULL, NULL, NULL, '2025-11-02 05:30:10Z', NULL, now()),
  (6, 3, 3, 2, 3, 3, 'created', '2025-11-02 05:30:30.4Z', NULL, NULL, NULL, NULL, NULL, now()),
  (7, 3, 3, 1, 3, 3, 'delivered', '2025-03-09 07:00:00Z', now(), '2025-03-09 09:30:00Z', '2025-03-10 07:00:00Z', NULL, NULL, now()),
  (8, 1, 1, 1, 1, 1, 'delivered', '2025-07-01 12:00:00Z', now(), '2025-07-01 12:00:00Z', '2025-07-02 12:00:00Z', NULL, NULL, now()),
  (9, 2, 1, 2, 1, 1, 'paid', '2025-10-31 05:30:31Z', now(), NULL, NULL, NULL, NULL, now()),
  (10, 1, 2, 2, 2, NULL, 'delivered', '2024-05-15 12:00:00Z', now(), '2024-05-15 15:30:00Z', '2024-05-17 12:00:00Z', NULL, NULL, now()),
  (11, 3, 2, NULL, 2, NULL, 'delivered', '2024-05-16 12:00:00Z', now(), '2024-05-16 13:00:00Z', '2024-05-16 14:00:00Z', NULL, NULL, now());

INSERT INTO shop.order_items (order_id, product_id, quantity, price, cost_price) VALUES
  (1, 1, 2, 10.00, 4.00),
  (2, 1, 1, 10.00, 4.00), (2, 3, 1, 20.00, 5.00),
  (4, 2, 3, 5.00, 2.00),
  (5, 3, 1, 20.00, 5.00),
  (6, 1, 1, 9.00, 4.00),
  (7, 1, 2, 10.00, 4.00), (7, 2, 4, 5.00, 2.00),
  (8, 1, 1, 1000.00, 1.00),
  (9, 2, 1, 5.00, 2.00),
  (10, 3, 1, 20.00, 5.00);
DELETE FROM shop.orders WHERE order_id = 8;

INSERT INTO shop.user_traffic (customer_id, traffic_source_id, visited_at, landing_page, cost) VALUES
  (NULL, 1, '2025-11-01 03:59:59.999Z', '/', 0),
  (1, 2, '2025-11-02 04:00:00Z', '/', 0.50),
  (NULL, 2, '2025-11-01 04:00:00Z', '/', 0.25),
  (NULL, 3, '2025-08-01 12:00:00Z', '/', 1.00);
`
