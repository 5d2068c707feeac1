// test/e2e/replicate.test: an unknown database is replicated without a model.

import { assert, suite } from '../support/harness/suite.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('replicate', { timeoutMs: 180_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

/**
 * Appointments of a clinic: partitions, composite keys, enums, domains, arrays, documents,
 * generated columns, all kinds of names.
 */
const schema = `
CREATE SCHEMA klinik; CREATE SCHEMA "Ärzte & Räume";
CREATE TYPE klinik.dringlichkeit AS ENUM ('niedrig', 'normal', 'très urgent', '緊急');
CREATE DOMAIN klinik.postleitzahl AS text CHECK (VALUE ~ '^[0-9]{5}$');
CREATE DOMAIN klinik.betrag AS numeric(18,4) NOT NULL DEFAULT 0;
CREATE TYPE klinik.anschrift AS (strasse text, plz text, ort text);

CREATE TABLE "Ärzte & Räume"."Ärztin/Arzt" (
  "Kürzel" char(4) PRIMARY KEY, "Name, Vorname" text NOT NULL, sprachen text[] NOT NULL DEFAULT '{}', anschrift klinik.anschrift,
  "dienst zeiten" int4range[], foto bytea);
COMMENT ON TABLE "Ärzte & Räume"."Ärztin/Arzt" IS 'Wer behandelt; "Kürzel" ist eindeutig.';
COMMENT ON COLUMN "Ärzte & Räume"."Ärztin/Arzt"."Kürzel" IS 'vier Zeichen, it''s padded';

CREATE TABLE klinik.patient (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, geboren date, plz klinik.postleitzahl, guthaben klinik.betrag,
  akte jsonb NOT NULL DEFAULT '{}', notiz text COLLATE "C", suche tsvector GENERATED ALWAYS AS (to_tsvector('simple', name)) STORED,
  alt boolean GENERATED ALWAYS AS (geboren < '1960-01-01') STORED);

CREATE TABLE klinik.termin (
  tag date, raum smallint, nr int, patient uuid REFERENCES klinik.patient ON DELETE SET NULL,
  arzt char(4) REFERENCES "Ärzte & Räume"."Ärztin/Arzt" ON UPDATE CASCADE, wie klinik.dringlichkeit NOT NULL DEFAULT 'normal',
  dauer interval, kosten klinik.betrag, "select" jsonb[], PRIMARY KEY (tag, raum, nr)) PARTITION BY RANGE (tag);
CREATE TABLE klinik.termin_2024 PARTITION OF klinik.termin FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (raum);
CREATE TABLE klinik.termin_2024_0 PARTITION OF klinik.termin_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE klinik.termin_2024_1 PARTITION OF klinik.termin_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE klinik.termin_rest PARTITION OF klinik.termin DEFAULT;

CREATE TABLE klinik."名前💥" (
  "a""b" text, "c'd" numeric, "e\\f" timestamptz NOT NULL DEFAULT now(), "g.h" real[], id bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (id, "a""b"));
CREATE TABLE klinik.nur_schluessel (eins int, zwei text, PRIMARY KEY (zwei, eins));
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p') AND nspname IN ('klinik', 'Ärzte & Räume')
  LOOP EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', t); END LOOP; END $$;
`

const people = `
INSERT INTO "Ärzte & Räume"."Ärztin/Arzt" VALUES
  ('A1', 'Müller, Änne', '{deutsch,"français",NULL}', ROW('Weg 1, "Hof"', '01234', NULL), ARRAY[int4range(8, 12), 'empty'], '\\x00ff'),
  ('B22', 'O''Neill', DEFAULT, NULL, NULL, NULL);
INSERT INTO klinik.patient (name, geboren, plz, guthaben, akte, notiz)
  SELECT 'Patient ' || g, date '1930-01-01' + g * 11, lpad(g::text, 5, '0'), g * 1.0001, jsonb_build_object('nr', g, 'größe', 1.75 + g / 1000.0), nullif(g % 3, 0)::text
  FROM generate_series(1, 2000) g;
INSERT INTO klinik.termin
  SELECT date '2023-07-01' + (g % 500), g % 20, g, (SELECT id FROM klinik.patient OFFSET g % 50 LIMIT 1), CASE g % 2 WHEN 0 THEN 'A1' END,
    (enum_range(NULL::klinik.dringlichkeit))[1 + g % 4], g * interval '1 minute', g / 7.0, CASE g % 5 WHEN 0 THEN ARRAY['{"a":1}'::jsonb, NULL] END
  FROM generate_series(1, 5000) g;
INSERT INTO klinik."名前💥" ("a""b", "c'd", "g.h") SELECT chr(64 + g), g / 3.0, ARRAY[g::real, NULL, 'NaN'] FROM generate_series(1, 26) g;
INSERT INTO klinik.nur_schluessel SELECT g, 'zwei ' || g FROM generate_series(1, 100) g;
`

const changes = [
  `UPDATE klinik.termin SET tag = tag + 200 WHERE nr % 7 = 0; UPDATE klinik.termin SET wie = '緊急', kosten = kosten * 2 WHERE raum = 3`,
  `UPDATE "Ärzte & Räume"."Ärztin/Arzt" SET "Kürzel" = 'Z9' WHERE "Kürzel" = 'A1'`,
  `DELETE FROM klinik.patient WHERE geboren < '1935-01-01'; UPDATE klinik.patient SET geboren = NULL, name = name || ' ✓' WHERE plz > '01500'`,
  `UPDATE klinik.nur_schluessel SET zwei = zwei || '!', eins = eins + 1; DELETE FROM klinik.termin WHERE nr > 4000`,
  `BEGIN; TRUNCATE klinik."名前💥"; INSERT INTO klinik."名前💥" ("a""b") VALUES ('neu'); COMMIT`,
]

test('every table is equal after the load and after changes', async () => {
  await using pipeline = await startPipeline(services, {
    setup: schema + people,
    tables: { 'klinik.*': {}, 'Ärzte & Räume.*': {}, 'klinik.termin': { partitionKey: ['tag'], partitions: 3 } },
  })
  const { tables } = await pipeline.assertEqual()
  const captured = [
    'klinik.nur_schluessel',
    'klinik.patient',
    'klinik.termin',
    'klinik.名前💥',
    'Ärzte & Räume.Ärztin/Arzt',
  ]
  assert.equal(Object.keys(tables).sort(), captured.sort())
  assert.equal(captured.map(name => tables[name]!.clickhouse).sort(), [100, 2, 2000, 26, 5000].sort())
  for (const change of changes) {
    await pipeline.sql(change)
    await pipeline.assertEqual()
  }
})

test('analysts read the tables under their own names, with their comments', async () => {
  await using pipeline = await startPipeline(services, { setup: schema + people, tables: { 'Ärzte & Räume.*': {} } })
  const rows = await pipeline.clickhouse('SELECT `Kürzel` AS k, sprachen FROM `Ärzte & Räume`.`Ärztin/Arzt` ORDER BY k')
  assert.equal(rows, [
    { k: 'A1  ', sprachen: '{deutsch,français,NULL}' },
    { k: 'B22 ', sprachen: '{}' },
  ])
  const about = await pipeline.clickhouse(
    `SELECT comment FROM system.columns WHERE database = 'Ärzte & Räume' AND name = 'Kürzel'`,
  )
  assert.equal(about, [{ comment: "vier Zeichen, it's padded" }])
})

test('names in ClickHouse that others own stop the consumer before it inserts; it continues once they are free', async () => {
  const setup = (note: string) => `CREATE SCHEMA crm; CREATE TABLE crm.orders (id int PRIMARY KEY, note text);
    CREATE TABLE crm.people (id int PRIMARY KEY, note text); INSERT INTO crm.orders VALUES (1, '${note}');
    ALTER TABLE crm.orders REPLICA IDENTITY FULL; ALTER TABLE crm.people REPLICA IDENTITY FULL`
  const ask = async (text: string) => {
    const response = await fetch(services.endpoints.clickhouse!, { method: 'POST', body: text })
    return (await response.text()).trim()
  }
  await ask('CREATE DATABASE crm')
  await ask("CREATE TABLE crm.people ENGINE = MergeTree ORDER BY id AS SELECT 1 AS id, 'of the DBA' AS note")
  await using first = await startPipeline(services, { setup: setup('first'), tables: { 'crm.orders': {} } })
  await using second = await startPipeline(services, { setup: setup('second'), tables: { 'crm.*': {} }, start: false })
  second.start()
  const refused = async () => {
    assert.equal(await second.consumer.untilEnd(60_000), { code: 2, signal: null })
    const text = second.consumer.tail()
    for (const part of [
      'NAME_TAKEN',
      'crm.orders, a stable view of another pipeline',
      'crm.people, a table (MergeTree)',
      'RENAME TABLE `crm`.`people`',
    ])
      assert.ok(text.includes(part), `${part} is named in\n${text}`)
  }
  await refused()
  second.consumer.start()
  await refused()
  await first.assertEqual()
  assert.is(await ask('SELECT note FROM crm.orders'), 'first')
  assert.is(await ask('SELECT note FROM crm.people'), 'of the DBA')
  for (const statement of [
    'RENAME TABLE crm.orders TO crm.orders_of_first',
    'RENAME TABLE crm.people TO crm.people_of_dba',
  ])
    assert.is(await ask(statement), '')
  second.start()
  await second.assertEqual()
  assert.is(await ask('SELECT note FROM crm.orders'), 'second')
  assert.is(await ask('SELECT note FROM crm.people_of_dba'), 'of the DBA')
  await ask('DROP DATABASE crm')
})

test.run()
