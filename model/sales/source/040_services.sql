-- model/sales/source/040: what the generator's service and the imports keep for themselves; not captured.
-- May know: 020_customers, 030_orders.

CREATE SCHEMA IF NOT EXISTS generator;
COMMENT ON SCHEMA generator IS 'Notes of the generator service; no part of the shop, and not captured.';

CREATE TABLE IF NOT EXISTS generator.idempotency_keys (
  key text PRIMARY KEY,
  request text NOT NULL,
  order_id bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE generator.idempotency_keys IS 'Requests for orders that carried an Idempotency-Key, of the last day.';
COMMENT ON COLUMN generator.idempotency_keys.key IS 'The header as it was sent.';
COMMENT ON COLUMN generator.idempotency_keys.request IS 'SHA-256 of the request, in hex: the same key must come with the same request.';
COMMENT ON COLUMN generator.idempotency_keys.order_id IS 'Order that the first request created.';
COMMENT ON COLUMN generator.idempotency_keys.created_at IS 'When the first request came.';
CREATE INDEX IF NOT EXISTS idempotency_keys_created_at ON generator.idempotency_keys (created_at);
