-- model/sales/source/020: customers and their visits.
-- Refers to the tables of 010_reference.

CREATE TABLE IF NOT EXISTS shop.customers (
  customer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  full_name text NOT NULL,
  email text NOT NULL,
  phone text,
  birth_date date,
  city text NOT NULL,
  country text NOT NULL,
  marketing_consent boolean NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
COMMENT ON TABLE shop.customers IS 'People who have registered. Personal data.';
COMMENT ON COLUMN shop.customers.customer_id IS 'Generated number of the customer.';
COMMENT ON COLUMN shop.customers.full_name IS 'Given and family name. Personal data.';
COMMENT ON COLUMN shop.customers.email IS 'Address for orders and news. Personal data.';
COMMENT ON COLUMN shop.customers.phone IS 'Telephone number, if given. Personal data.';
COMMENT ON COLUMN shop.customers.birth_date IS 'Birthday, if given. Personal data.';
COMMENT ON COLUMN shop.customers.city IS 'City of residence today.';
COMMENT ON COLUMN shop.customers.country IS 'Country of residence today, ISO 3166-1 alpha-2.';
COMMENT ON COLUMN shop.customers.marketing_consent IS 'Whether news may be sent.';
COMMENT ON COLUMN shop.customers.created_at IS 'When the customer registered.';
COMMENT ON COLUMN shop.customers.updated_at IS 'When the row was last written.';
ALTER TABLE shop.customers REPLICA IDENTITY FULL;

-- Reports count visits by calendar day. A day is a ClickHouse Date, from 1970 to 2149: these are
-- the bounds of visited_at.
CREATE TABLE IF NOT EXISTS shop.user_traffic (
  visit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id bigint REFERENCES shop.customers ON DELETE SET NULL,
  traffic_source_id integer NOT NULL REFERENCES shop.traffic_sources,
  visited_at timestamptz NOT NULL CHECK (visited_at >= '2000-01-01 00:00+00' AND visited_at < '2100-01-01 00:00+00'),
  landing_page text NOT NULL,
  cost numeric(15,2) NOT NULL CHECK (cost >= 0),
  source text,
  source_line bigint CHECK (source_line > 0),
  CHECK ((source IS NULL) = (source_line IS NULL))
);
COMMENT ON TABLE shop.user_traffic IS 'Visits of the online shop, as the application and the agencies report them.';
COMMENT ON COLUMN shop.user_traffic.visit_id IS 'Generated number of the visit.';
COMMENT ON COLUMN shop.user_traffic.customer_id IS 'Who visited; null for a visitor who is not signed in.';
COMMENT ON COLUMN shop.user_traffic.traffic_source_id IS 'Where the visitor came from.';
COMMENT ON COLUMN shop.user_traffic.visited_at IS 'When the visit began.';
COMMENT ON COLUMN shop.user_traffic.landing_page IS 'Path of the first page.';
COMMENT ON COLUMN shop.user_traffic.cost IS 'What the source charged for the visit; 0 when it was free.';
COMMENT ON COLUMN shop.user_traffic.source IS 'File that the row was imported from, as imports.files names it; null when the application wrote it.';
COMMENT ON COLUMN shop.user_traffic.source_line IS 'Line of that file, the header being line 1; null when the application wrote it.';
CREATE UNIQUE INDEX IF NOT EXISTS user_traffic_source ON shop.user_traffic (source, source_line) WHERE source IS NOT NULL;
CREATE INDEX IF NOT EXISTS user_traffic_customer_id ON shop.user_traffic (customer_id) WHERE customer_id IS NOT NULL;
ALTER TABLE shop.user_traffic REPLICA IDENTITY FULL;
