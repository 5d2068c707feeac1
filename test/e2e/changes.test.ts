// test/e2e/changes.test: rows are equal after every kind of row change and with every kind of name.
// `verify` compares them.

import { quoteName as quote } from '../../postgres/client/quote.ts'
import { oddNames } from '../support/fixtures/odd-names.ts'
import { testSeed } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import { createDatabase } from '../support/servers/postgres.ts'
import { type Servers, type Services, shareServers, startServices } from '../support/servers/services.ts'

const seed = testSeed()
const test = suite('changes', { timeoutMs: 180_000 })
let services: Servers
/** A pipeline with these settings. */
let ownPostgres: Services | undefined

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(async () => {
  await ownPostgres?.stop()
  await services?.stop()
})

const full = (...tables: string[]) => tables.map(table => `ALTER TABLE ${table} REPLICA IDENTITY FULL;`).join(' ')

/** Runs each step separately, and compares after it. */
async function compareAfterEach(pipeline: Pipeline, steps: readonly string[]): Promise<void> {
  for (const step of steps) {
    await pipeline.sql(step)
    await pipeline.assertEqual()
  }
}

test('odd names of schemas, tables and columns are quoted everywhere and stay distinct', async () => {
  const schemas = ['public', 'select', 'a.b', 'a', 'a_b', 'Ü "x`\\', '💥', 'default2']
  // Every name is a column of two of these tables; one is part of all keys.
  const inKey = 'a;DROP TABLE x'
  const wide = schemas.map((schema, which) => ({
    table: `${quote(schema)}.same`,
    columns: oddNames.filter((name, index) => name === inKey || index % 4 === which % 4).map(quote),
  }))
  // A random sixth of the names per run: every table has a topic and several objects in ClickHouse.
  const tableNames = oddNames.filter((_, index) => index % 6 === seed % 6)
  const named = tableNames.map(
    name =>
      `CREATE TABLE public.${quote(name)} (${quote(name)} int PRIMARY KEY, n int); ${full(`public.${quote(name)}`)}`,
  )
  const dotted = ['"a.b".c', 'a."b.c"', '"a.b"."Case"', '"a.b"."case"', '"a.b"."CASE"', 'a_b.c', 'a.b_c']
  await using pipeline = await startPipeline(services, {
    tables: Object.fromEntries(schemas.map(schema => [`${schema}.*`, {}])),
    setup: [
      ...schemas.filter(schema => schema !== 'public').map(schema => `CREATE SCHEMA ${quote(schema)};`),
      ...wide.map(
        ({ table, columns }) =>
          `CREATE TABLE ${table} (id int, ${columns.join(' text, ')} text, PRIMARY KEY (id, ${quote(inKey)})); ${full(table)}`,
      ),
      ...named,
      ...dotted.map(table => `CREATE TABLE ${table} (id int PRIMARY KEY, t text); ${full(table)}`),
    ].join('\n'),
  })
  const inserts = [
    ...wide.map(({ table, columns }) => {
      const values = columns.map((_, index) => `'${index}'`).join(', ')
      return `INSERT INTO ${table} VALUES (1, ${values}), (2, ${values}), (3, ${values})`
    }),
    ...tableNames.map((name, n) => `INSERT INTO public.${quote(name)} VALUES (1, ${n}), (2, ${n})`),
    ...dotted.map(table => `INSERT INTO ${table} VALUES (1, '${table}')`),
  ]
  const changes = [
    ...wide.map(
      ({ table, columns }) => `UPDATE ${table} SET ${columns.map((name, n) => `${name} = 'new ${n}'`)} WHERE id = 1`,
    ),
    ...tableNames.map(name => `UPDATE public.${quote(name)} SET n = n + 1 WHERE ${quote(name)} = 1`),
    ...wide.map(({ table }) => `DELETE FROM ${table} WHERE id = 2`),
    `DELETE FROM "a.b"."case"; TRUNCATE public.${quote(tableNames[5]!)}`,
  ]
  await compareAfterEach(pipeline, [inserts.join(';')])
  await pipeline.producer.stop()
  await pipeline.sql(changes.join(';'))
  pipeline.start()
  await pipeline.assertEqual()
})

test('rows are equal after keys change, swap, shift and collide', async () => {
  await using pipeline = await startPipeline(services, {
    tables: { 'public.*': {}, 'public.lines': { partitionKey: ['bill'] } },
    setup: `
      CREATE TABLE public.keys (k int, t text, UNIQUE (k) DEFERRABLE, CONSTRAINT pk PRIMARY KEY (k) DEFERRABLE INITIALLY DEFERRED);
      CREATE TABLE public.lines (id int PRIMARY KEY, bill int NOT NULL, n int);
      CREATE TABLE public.pairs (a int, b text, c int, PRIMARY KEY (b, a));
      ${full('public.keys', 'public.lines', 'public.pairs')}
      INSERT INTO public.keys SELECT g, 'row ' || g FROM generate_series(1, 100) g;
      INSERT INTO public.lines SELECT g, g % 7, g FROM generate_series(1, 100) g;
      INSERT INTO public.pairs SELECT g, g::text, g FROM generate_series(1, 100) g;`,
  })
  await compareAfterEach(pipeline, [
    `BEGIN; UPDATE public.keys SET k = -1 WHERE k = 1; UPDATE public.keys SET k = 1 WHERE k = 2; UPDATE public.keys SET k = 2 WHERE k = -1; COMMIT`,
    'UPDATE public.keys SET k = 103 - k WHERE k IN (3, 100)',
    'UPDATE public.keys SET k = CASE k WHEN 5 THEN 6 ELSE 5 END WHERE k IN (5, 6)',
    'UPDATE public.keys SET k = k + 1',
    `BEGIN; UPDATE public.keys SET k = k - 1; UPDATE public.keys SET k = k - 1, t = t || '!'; COMMIT`,
    'UPDATE public.lines SET bill = bill + 1 WHERE id % 3 = 0',
    'UPDATE public.lines SET id = id + 1000, bill = 7 - bill WHERE id % 5 = 0',
    `UPDATE public.pairs SET a = a + 1; UPDATE public.pairs SET b = b || 'x' WHERE c % 2 = 0; UPDATE public.pairs SET c = 0`,
  ])
})

test('a row deleted, written and updated many times in one transaction has its last state', async () => {
  await using pipeline = await startPipeline(services, {
    setup: `CREATE TABLE public.t (id int PRIMARY KEY, n int); ${full('public.t')} INSERT INTO public.t SELECT g, 0 FROM generate_series(1, 50) g`,
  })
  await compareAfterEach(pipeline, [
    `DO $$ BEGIN FOR i IN 1..1000 LOOP UPDATE public.t SET n = i WHERE id = 1; END LOOP; END $$`,
    'BEGIN; DELETE FROM public.t WHERE id = 2; INSERT INTO public.t VALUES (2, 7); DELETE FROM public.t WHERE id = 2; INSERT INTO public.t VALUES (2, 8); COMMIT',
    'BEGIN; INSERT INTO public.t VALUES (1000, 1); UPDATE public.t SET n = 2 WHERE id = 1000; DELETE FROM public.t WHERE id = 1000; COMMIT',
    `DO $$ BEGIN FOR i IN 1..200 LOOP DELETE FROM public.t WHERE id = 3; INSERT INTO public.t VALUES (3, i); END LOOP; END $$`,
    `DO $$ BEGIN FOR i IN 1..500 LOOP INSERT INTO public.t VALUES (10000 + i, i); COMMIT; END LOOP; END $$`,
    'UPDATE public.t SET n = n; DELETE FROM public.t WHERE id = 4; INSERT INTO public.t VALUES (4, 4)',
  ])
})

test('rows are equal after truncates of one table, of several, by cascade, and between other changes', async () => {
  await using pipeline = await startPipeline(services, {
    setup: `
      CREATE TABLE public.parents (id int PRIMARY KEY, n int);
      CREATE TABLE public.children (id int PRIMARY KEY, parent int REFERENCES public.parents);
      CREATE TABLE public.others (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int);
      ${full('public.parents', 'public.children', 'public.others')}
      INSERT INTO public.parents SELECT g, g FROM generate_series(1, 100) g; INSERT INTO public.children SELECT g, g FROM generate_series(1, 100) g;
      INSERT INTO public.others (n) SELECT g FROM generate_series(1, 100) g;`,
  })
  const refill = `INSERT INTO public.parents SELECT g, g FROM generate_series(1, 60) g; INSERT INTO public.children SELECT g, g FROM generate_series(1, 60) g;`
  await compareAfterEach(pipeline, [
    'TRUNCATE public.children',
    `${refill.replace('INSERT INTO public.parents SELECT g, g FROM generate_series(1, 60) g;', '')} TRUNCATE public.parents CASCADE`,
    refill,
    'TRUNCATE public.parents, public.children, public.others RESTART IDENTITY',
    `BEGIN; INSERT INTO public.others (n) VALUES (1), (2); TRUNCATE public.others; INSERT INTO public.others (n) VALUES (3); COMMIT`,
    `BEGIN; INSERT INTO public.others (n) VALUES (4); SAVEPOINT s; TRUNCATE public.others; ROLLBACK TO s; INSERT INTO public.others (n) VALUES (5); COMMIT`,
    `BEGIN; ${refill} TRUNCATE public.parents CASCADE; ${refill} UPDATE public.parents SET n = -n; COMMIT`,
    'BEGIN; TRUNCATE public.parents CASCADE; ROLLBACK; UPDATE public.parents SET n = 0 WHERE id < 10',
    'TRUNCATE public.others; TRUNCATE public.others',
  ])
})

test('rows are equal after empty transactions, savepoints, rollbacks and two-phase commits', async () => {
  ownPostgres = await startServices(['postgres'])
  const endpoints = { ...services.endpoints, ...ownPostgres.endpoints }
  const database = await createDatabase(endpoints.postgres!)
  await database.sql('ALTER SYSTEM SET max_prepared_transactions = 10')
  await database.drop()
  await ownPostgres.kill('postgres')
  await ownPostgres.restart()
  await using pipeline = await startPipeline(
    { ...services, endpoints },
    {
      setup: `CREATE TABLE public.t (id int PRIMARY KEY, n int); CREATE TABLE public.u (id int PRIMARY KEY, n int);
      ${full('public.t', 'public.u')} CREATE TABLE unwatched (id int)`,
      tables: { 'public.t': {}, 'public.u': {} },
    },
  )
  await compareAfterEach(pipeline, [
    'BEGIN; SELECT txid_current(); COMMIT',
    'INSERT INTO unwatched SELECT generate_series(1, 1000)',
    'BEGIN; INSERT INTO public.t VALUES (1, 1); ROLLBACK',
    `BEGIN; INSERT INTO public.t VALUES (1, 1); SAVEPOINT a; INSERT INTO public.t VALUES (2, 2); SAVEPOINT b; UPDATE public.t SET n = 9;
     ROLLBACK TO b; INSERT INTO public.u VALUES (1, 1); RELEASE a; UPDATE public.t SET n = n + 1 WHERE id = 2; COMMIT`,
    `BEGIN; INSERT INTO public.t VALUES (3, 3); SAVEPOINT a; DELETE FROM public.t; ROLLBACK TO a; COMMIT`,
    `DO $$ BEGIN FOR i IN 10..40 LOOP BEGIN INSERT INTO public.t VALUES (i, i); IF i % 3 = 0 THEN RAISE 'no'; END IF;
     EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$`,
  ])
  const other = await pipeline.connect()
  await other.query(
    `BEGIN; INSERT INTO public.t VALUES (100, 1); UPDATE public.t SET n = 5 WHERE id = 1; PREPARE TRANSACTION 'first ${pipeline.name}'`,
  )
  await other.query(`BEGIN; INSERT INTO public.u VALUES (200, 1); PREPARE TRANSACTION 'second ${pipeline.name}'`)
  // verify would wait for every open transaction, because it takes a snapshot.
  await pipeline.sql('UPDATE public.t SET n = 6 WHERE id = 2')
  await pipeline.settle()
  const visible = 'SELECT sum(n = 6) AS updated, sum(id = 100) AS prepared FROM `public.t`'
  assert.equal(await pipeline.clickhouse(visible), [{ updated: '1', prepared: '0' }])
  await pipeline.sql(`ROLLBACK PREPARED 'second ${pipeline.name}'`)
  await compareAfterEach(pipeline, [`COMMIT PREPARED 'first ${pipeline.name}'`])
})

test('TOASTed values that an update does not touch stay as they are', async () => {
  await using pipeline = await startPipeline(services, {
    setup: `
      CREATE TABLE public.toast (id int PRIMARY KEY, n int, big text, bytes bytea, body jsonb);
      ALTER TABLE public.toast ALTER big SET STORAGE EXTERNAL, ALTER bytes SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL; ${full('public.toast')}
      INSERT INTO public.toast SELECT g, g, repeat('big ' || g, 5000), decode(repeat('0' || g % 10, 20000), 'hex'), jsonb_build_object('k', repeat('j', 20000)) FROM generate_series(1, 20) g`,
  })
  await compareAfterEach(pipeline, [
    'UPDATE public.toast SET n = n + 1',
    'UPDATE public.toast SET big = NULL WHERE id = 1; UPDATE public.toast SET n = 0 WHERE id <= 2',
    `UPDATE public.toast SET bytes = '' WHERE id = 3; UPDATE public.toast SET id = id + 100 WHERE id IN (3, 4, 5)`,
    'BEGIN; UPDATE public.toast SET n = 1 WHERE id = 6; UPDATE public.toast SET n = 2 WHERE id = 6; DELETE FROM public.toast WHERE id = 6; COMMIT',
  ])
  const [row] = await pipeline.sql(`SELECT md5(big) AS big FROM public.toast WHERE id = 103`)
  assert.equal(
    await pipeline.clickhouse('SELECT lower(hex(MD5(assumeNotNull(big)))) AS big FROM `public.toast` WHERE id = 103'),
    [row],
  )
})

test('rows of partitioned tables are equal after moves, with new partitions and with generated columns', async () => {
  await using pipeline = await startPipeline(services, {
    setup: `
      CREATE TABLE public.parts (id int, region text, n int, twice int GENERATED ALWAYS AS (n * 2) STORED,
        seen int GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
      CREATE TABLE public.parts_north PARTITION OF public.parts FOR VALUES IN ('north');
      CREATE TABLE public.parts_south PARTITION OF public.parts FOR VALUES IN ('south') PARTITION BY RANGE (id);
      CREATE TABLE public.parts_south_low PARTITION OF public.parts_south FOR VALUES FROM (0) TO (50);
      CREATE TABLE public.parts_south_high PARTITION OF public.parts_south DEFAULT;
      ${full('public.parts', 'public.parts_north', 'public.parts_south', 'public.parts_south_low', 'public.parts_south_high')}
      INSERT INTO public.parts SELECT g, CASE g % 2 WHEN 0 THEN 'north' ELSE 'south' END, g FROM generate_series(1, 100) g`,
  })
  await compareAfterEach(pipeline, [
    `UPDATE public.parts SET region = 'south' WHERE id % 4 = 0`,
    `UPDATE public.parts SET id = id + 40 WHERE region = 'south' AND id < 50 AND id % 3 = 0 AND id + 40 NOT IN (SELECT id FROM public.parts)`,
    'UPDATE public.parts SET n = n + 1; DELETE FROM public.parts_south_low WHERE id < 10; INSERT INTO public.parts_north VALUES (1000, DEFAULT, 5)'.replace(
      'DEFAULT',
      `'north'`,
    ),
    `CREATE TABLE public.parts_west PARTITION OF public.parts FOR VALUES IN ('west'); ALTER TABLE public.parts_west REPLICA IDENTITY FULL;
     INSERT INTO public.parts VALUES (1, 'west', 1), (2, 'west', 2); UPDATE public.parts SET region = 'west' WHERE region = 'north' AND id < 20 AND id > 2;`,
    `UPDATE public.parts SET n = 0 WHERE region = 'west'; DELETE FROM public.parts WHERE region = 'west' AND id = 2`,
    'TRUNCATE public.parts',
    `INSERT INTO public.parts VALUES (1, 'west', 1), (2, 'south', 2)`,
  ])
})

test('generated columns, identity columns and new enum labels arrive', async () => {
  await using pipeline = await startPipeline(services, {
    setup: `
      CREATE TYPE mood AS ENUM ('ok');
      CREATE TABLE public.made (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, m mood, twice int GENERATED ALWAYS AS (n * 2) STORED); ${full('public.made')}
      INSERT INTO public.made (n, m) VALUES (1, 'ok'), (NULL, NULL)`,
  })
  await compareAfterEach(pipeline, [
    `INSERT INTO public.made (n, m) VALUES (3, 'ok'); UPDATE public.made SET n = 4 WHERE n IS NULL`,
    `ALTER TYPE mood ADD VALUE 'it''s "fine"' BEFORE 'ok'`,
    `UPDATE public.made SET m = 'it''s "fine"' WHERE n > 1; DELETE FROM public.made WHERE n = 1`,
  ])
  assert.equal(await pipeline.clickhouse('SELECT n, twice, m FROM `public.made` ORDER BY n'), [
    { n: 3, twice: 6, m: `it's "fine"` },
    { n: 4, twice: 8, m: `it's "fine"` },
  ])
})

test.run()
