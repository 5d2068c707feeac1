-- model/sales/source/040: tables of the generator's service and of the imports; not captured.

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

CREATE SCHEMA IF NOT EXISTS imports;
COMMENT ON SCHEMA imports IS 'Bookkeeping of imported files; no part of the shop, and not captured.';

CREATE TABLE IF NOT EXISTS imports.files (
  file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  source text NOT NULL UNIQUE,
  done_bytes bigint NOT NULL,
  done_line bigint NOT NULL,
  loaded bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE imports.files IS 'Imported files, each however often it came, grew or was renamed.';
COMMENT ON COLUMN imports.files.file_id IS 'Generated number of the file.';
COMMENT ON COLUMN imports.files.name IS 'Name without directories under which it came first.';
COMMENT ON COLUMN imports.files.source IS 'What shop.user_traffic.source says of its rows: csv:, the number and the name.';
COMMENT ON COLUMN imports.files.done_bytes IS 'Bytes from its beginning whose lines are loaded or rejected.';
COMMENT ON COLUMN imports.files.done_line IS 'Last line among them; 1 is the header.';
COMMENT ON COLUMN imports.files.loaded IS 'Rows that came of it.';
COMMENT ON COLUMN imports.files.created_at IS 'When it came first.';
COMMENT ON COLUMN imports.files.updated_at IS 'When lines of it were done last.';

CREATE TABLE IF NOT EXISTS imports.versions (
  bytes bigint NOT NULL,
  sha256 text NOT NULL,
  file_id bigint NOT NULL REFERENCES imports.files ON DELETE CASCADE,
  name text NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (bytes, sha256)
);
COMMENT ON TABLE imports.versions IS 'Contents by which a file is known again: as it came first, and each time it had grown.';
COMMENT ON COLUMN imports.versions.bytes IS 'Size of the content.';
COMMENT ON COLUMN imports.versions.sha256 IS 'SHA-256 of the content, in hex.';
COMMENT ON COLUMN imports.versions.file_id IS 'File that it is a content of.';
COMMENT ON COLUMN imports.versions.name IS 'Name under which it came.';
COMMENT ON COLUMN imports.versions.seen_at IS 'When it came.';
CREATE INDEX IF NOT EXISTS versions_name ON imports.versions (name);

CREATE TABLE IF NOT EXISTS imports.rejects (
  file_id bigint NOT NULL REFERENCES imports.files ON DELETE CASCADE,
  line bigint NOT NULL,
  reason text NOT NULL,
  original text NOT NULL,
  PRIMARY KEY (file_id, line)
);
COMMENT ON TABLE imports.rejects IS 'Lines that were not loaded.';
COMMENT ON COLUMN imports.rejects.file_id IS 'File of the line.';
COMMENT ON COLUMN imports.rejects.line IS 'Number of the line; 1 is the header.';
COMMENT ON COLUMN imports.rejects.reason IS 'What is wrong with it.';
COMMENT ON COLUMN imports.rejects.original IS 'The line as it came; a byte that is no UTF-8 as \x and two digits.';
