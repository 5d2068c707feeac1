// test/e2e/values.test: every kind of value is exactly the same in ClickHouse as in Postgres.
// Postgres and ClickHouse each print their own values; nothing of the encoder is used.

import { quoteName as quote } from '../../postgres/client/quote.ts'
import { type TypeCase, valueTypes } from '../support/fixtures/postgres-values.ts'
import {
  createStrict,
  createWide,
  differingCells,
  fillStrict,
  fillWide,
  keyCases,
  keyTable,
  rotateWide,
} from '../support/fixtures/value-tables.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('values', { timeoutMs: 180_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

test('values of every type are the same by initial load, insert, update and delete, with and without NULL', async () => {
  const tables = ['public.loaded', 'public.inserted', 'public.strict']
  await using pipeline = await startPipeline(services, {
    setup: [valueTypes, ...tables.slice(0, 2).map(createWide), createStrict(tables[2]!), fillWide(tables[0]!)].join(
      '\n',
    ),
  })
  const compare = async (step: string) => {
    await pipeline.assertEqual()
    for (const table of tables) assert.equal(await differingCells(pipeline, table), [], `${step}, ${table}`)
  }
  await compare('loaded')
  await pipeline.sql(fillWide('public.inserted') + fillStrict('public.strict'))
  await compare('inserted')
  await pipeline.sql(rotateWide('public.loaded') + rotateWide('public.inserted'))
  await compare('updated')
  await pipeline.sql(
    `DELETE FROM public.loaded WHERE id % 2 = 0; DELETE FROM public.strict; DELETE FROM public.inserted`,
  )
  await compare('deleted')
  await pipeline.sql(fillWide('public.inserted') + fillStrict('public.strict'))
  await compare('inserted again')
})

test('a row is updated and deleted by a key of any type', async () => {
  const create = (each: TypeCase) =>
    `CREATE TABLE ${keyTable(each)} (k ${each.type} PRIMARY KEY, n int); ALTER TABLE ${keyTable(each)} REPLICA IDENTITY FULL;`
  await using pipeline = await startPipeline(services, { setup: valueTypes + keyCases.map(create).join('\n') })
  const forAll = (statement: (table: string) => string) =>
    pipeline.sql(keyCases.map(keyTable).map(statement).join(';\n'))
  /** An index entry holds no more than 2,700 bytes. */
  const insert = ({ type, values }: TypeCase) =>
    values.map(
      (value, n) => `INSERT INTO public.${quote(`key ${type}`)}
        SELECT k, ${n} FROM (SELECT (${value})::${type} AS k) AS v WHERE pg_column_size(k) < 2000 ON CONFLICT DO NOTHING`,
    )

  await pipeline.sql(keyCases.flatMap(insert).join(';\n'))
  await forAll(table => `UPDATE ${table} SET n = n + 100`)
  await pipeline.assertEqual()
  await forAll(table => `DELETE FROM ${table} WHERE n % 2 = 0`)
  await pipeline.sql(keyCases.flatMap(insert).join(';\n'))
  await pipeline.assertEqual()
})

test('a key that is equal but printed differently stays one row', async () => {
  await using pipeline = await startPipeline(services, {
    setup: `
      CREATE EXTENSION citext;
      CREATE TABLE public.by_numeric (k numeric PRIMARY KEY, n int);
      CREATE TABLE public.by_citext (k citext PRIMARY KEY, n int);
      CREATE TABLE public.by_float (k float8 PRIMARY KEY, n int);
      CREATE TABLE public.by_char (k char(3) PRIMARY KEY, n int);
      ALTER TABLE public.by_numeric REPLICA IDENTITY FULL; ALTER TABLE public.by_citext REPLICA IDENTITY FULL;
      ALTER TABLE public.by_float REPLICA IDENTITY FULL; ALTER TABLE public.by_char REPLICA IDENTITY FULL;
      INSERT INTO public.by_numeric VALUES (1.0, 1); INSERT INTO public.by_citext VALUES ('a', 1);
      INSERT INTO public.by_float VALUES (0, 1); INSERT INTO public.by_char VALUES ('a', 1);`,
  })
  await pipeline.sql(`
    UPDATE public.by_numeric SET k = 1.00; UPDATE public.by_citext SET k = 'A';
    UPDATE public.by_float SET k = '-0'; UPDATE public.by_char SET k = 'a ';`)
  await pipeline.assertEqual()
  await pipeline.sql(`
    UPDATE public.by_numeric SET n = 2; UPDATE public.by_citext SET n = 2; DELETE FROM public.by_float;
    INSERT INTO public.by_float VALUES (0, 3); UPDATE public.by_char SET n = 2;`)
  await pipeline.assertEqual()
})

test('a database, role and session that print differently send the same values', async () => {
  const settings = {
    datestyle: 'SQL, DMY',
    intervalstyle: 'postgres_verbose',
    timezone: 'America/St_Johns',
    bytea_output: 'escape',
    extra_float_digits: '-5',
    xmlbinary: 'hex',
    quote_all_identifiers: 'on',
    array_nulls: 'off',
    client_encoding: 'LATIN1',
  }
  const alter = Object.entries(settings).map(
    ([name, value]) => `EXECUTE format('ALTER DATABASE %I SET ${name} = %L', current_database(), '${value}');`,
  )
  await using pipeline = await startPipeline(services, {
    setup: `${valueTypes} ${createWide('public.loaded')} ${createWide('public.inserted')} ${fillWide('public.loaded')}
      DO $$ BEGIN ${alter.join(' ')} END $$;`,
  })
  const client = await pipeline.connect()
  await client.query("SET client_encoding = 'UTF8'; SET array_nulls = on")
  await client.query(fillWide('public.inserted'))
  await client.query(rotateWide('public.loaded'))
  await pipeline.settle()
  await pipeline.sql("SET client_encoding = 'UTF8'")
  for (const table of ['public.loaded', 'public.inserted']) {
    assert.equal(await differingCells(pipeline, table), [], table)
  }
  await pipeline.assertEqual()
})

test.run()
