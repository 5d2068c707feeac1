-- model/sales/source/010: territories, shops, staff and products: small tables that rarely change.
-- Every file of this folder can be applied again without effect.

CREATE SCHEMA IF NOT EXISTS shop;
COMMENT ON SCHEMA shop IS 'A shop chain: what its applications write, and what millrace captures.';

CREATE TABLE IF NOT EXISTS shop.sales_territories (
  sales_territory_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  region text NOT NULL,
  country text NOT NULL
);
COMMENT ON TABLE shop.sales_territories IS 'Areas that a sales team is answerable for.';
COMMENT ON COLUMN shop.sales_territories.sales_territory_id IS 'Generated number of the territory.';
COMMENT ON COLUMN shop.sales_territories.name IS 'Name as the sales teams use it.';
COMMENT ON COLUMN shop.sales_territories.region IS 'Part of the country, or of the continent.';
COMMENT ON COLUMN shop.sales_territories.country IS 'Country, ISO 3166-1 alpha-2.';
ALTER TABLE shop.sales_territories REPLICA IDENTITY FULL;

CREATE TABLE IF NOT EXISTS shop.shops (
  shop_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  city text NOT NULL,
  sales_territory_id integer NOT NULL REFERENCES shop.sales_territories,
  opened_on date NOT NULL
);
COMMENT ON TABLE shop.shops IS 'Shops, the online shop of each territory included.';
COMMENT ON COLUMN shop.shops.shop_id IS 'Generated number of the shop.';
COMMENT ON COLUMN shop.shops.name IS 'Name on the sign.';
COMMENT ON COLUMN shop.shops.city IS 'City of the shop.';
COMMENT ON COLUMN shop.shops.sales_territory_id IS 'Territory the shop belongs to today; an order keeps the one it was placed in.';
COMMENT ON COLUMN shop.shops.opened_on IS 'First day of business.';
ALTER TABLE shop.shops REPLICA IDENTITY FULL;

CREATE TABLE IF NOT EXISTS shop.employees (
  employee_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  full_name text NOT NULL,
  email text NOT NULL UNIQUE,
  role text NOT NULL CHECK (role IN ('sales_manager', 'sales_person', 'clerk')),
  manager_id integer REFERENCES shop.employees,
  sales_territory_id integer NOT NULL REFERENCES shop.sales_territories,
  hired_on date NOT NULL,
  left_on date,
  CHECK (left_on >= hired_on)
);
COMMENT ON TABLE shop.employees IS 'Everybody who sells; people who left stay, because their orders do.';
COMMENT ON COLUMN shop.employees.employee_id IS 'Generated number of the employee.';
COMMENT ON COLUMN shop.employees.full_name IS 'Given and family name. Personal data.';
COMMENT ON COLUMN shop.employees.email IS 'Address at work. Personal data.';
COMMENT ON COLUMN shop.employees.role IS 'sales_manager, sales_person or clerk.';
COMMENT ON COLUMN shop.employees.manager_id IS 'Whom the employee reports to; null for the managers of territories.';
COMMENT ON COLUMN shop.employees.sales_territory_id IS 'Territory the employee works in today.';
COMMENT ON COLUMN shop.employees.hired_on IS 'First day at work.';
COMMENT ON COLUMN shop.employees.left_on IS 'Last day at work; null while employed.';
ALTER TABLE shop.employees REPLICA IDENTITY FULL;

CREATE TABLE IF NOT EXISTS shop.categories (
  category_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  parent_id integer REFERENCES shop.categories,
  name text NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS categories_name ON shop.categories (coalesce(parent_id, 0), name);
COMMENT ON TABLE shop.categories IS 'Categories of products, in two levels.';
COMMENT ON COLUMN shop.categories.category_id IS 'Generated number of the category.';
COMMENT ON COLUMN shop.categories.parent_id IS 'Category that a subcategory belongs to; null on the first level.';
COMMENT ON COLUMN shop.categories.name IS 'Name, unique among its siblings.';
ALTER TABLE shop.categories REPLICA IDENTITY FULL;

CREATE TABLE IF NOT EXISTS shop.products (
  product_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  category_id integer NOT NULL REFERENCES shop.categories,
  price numeric(15,2) NOT NULL CHECK (price >= 0),
  cost_price numeric(15,2) NOT NULL CHECK (cost_price >= 0),
  active boolean NOT NULL,
  updated_at timestamptz NOT NULL
);
COMMENT ON TABLE shop.products IS 'What is sold, at today''s price.';
COMMENT ON COLUMN shop.products.product_id IS 'Generated number of the product.';
COMMENT ON COLUMN shop.products.name IS 'Name on the label.';
COMMENT ON COLUMN shop.products.category_id IS 'Subcategory of the product.';
COMMENT ON COLUMN shop.products.price IS 'Price of one piece today; an order item keeps the price it was sold at.';
COMMENT ON COLUMN shop.products.cost_price IS 'What one piece costs the shop today.';
COMMENT ON COLUMN shop.products.active IS 'Whether it can be ordered.';
COMMENT ON COLUMN shop.products.updated_at IS 'When the row was last written.';
ALTER TABLE shop.products REPLICA IDENTITY FULL;

CREATE TABLE IF NOT EXISTS shop.traffic_sources (
  traffic_source_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  channel text NOT NULL CHECK (channel IN ('direct', 'search', 'email', 'social', 'partner'))
);
COMMENT ON TABLE shop.traffic_sources IS 'Where visitors come from.';
COMMENT ON COLUMN shop.traffic_sources.traffic_source_id IS 'Generated number of the source.';
COMMENT ON COLUMN shop.traffic_sources.name IS 'Search engine, campaign, newsletter or partner.';
COMMENT ON COLUMN shop.traffic_sources.channel IS 'Kind of source: direct, search, email, social or partner.';
ALTER TABLE shop.traffic_sources REPLICA IDENTITY FULL;
