// test/e2e/preflight.test: a source that cannot be captured is refused with every reason, before
// any object is created.

import { assert, suite, until } from '../support/harness/suite.ts'
import { millrace, printed } from '../support/pipelines/commands.ts'
import { type Pipeline, type PipelineOptions, startPipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('preflight')
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const full = (...tables: string[]) => tables.map(table => `ALTER TABLE ${table} REPLICA IDENTITY FULL;`).join(' ')
const fine = `CREATE TABLE public.fine (id int PRIMARY KEY); ${full('public.fine')}`

/**
 * Asserts that the producer ends with 2, that its message contains every part, and that it leaves
 * no slot and no publication.
 */
async function assertRefused(options: PipelineOptions, ...parts: readonly (string | RegExp)[]): Promise<void> {
  await using pipeline = await startPipeline(services, { ...options, start: false })
  pipeline.producer.start()
  assert.is((await pipeline.producer.untilEnd()).code, 2)
  for (const part of parts) assertNames(pipeline, part)
  const [left] = await pipeline.sql(
    'SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) AS slots, (SELECT count(*) FROM pg_publication) AS publications',
  )
  assert.equal(left, { slots: '0', publications: '0' })
}

function assertNames({ producer }: Pipeline, part: string | RegExp): void {
  const found = typeof part === 'string' ? producer.log.includes(part) : part.test(producer.log)
  assert.ok(found, `the message names ${part}:\n${producer.tail()}`)
}

for (const encoding of ['SQL_ASCII', 'LATIN1']) {
  test(`preflight refuses a database in ${encoding}`, () =>
    assertRefused(
      { database: `ENCODING '${encoding}' LOCALE 'C' TEMPLATE template0`, setup: fine },
      encoding,
      'UTF8',
      /encoding/i,
    ))
}

test('preflight refuses a named table without a primary key', () =>
  assertRefused(
    {
      setup: `${fine} CREATE TABLE public.keyless (id int, n int); ${full('public.keyless')}`,
      tables: { 'public.*': {}, 'public.keyless': {} },
    },
    'public.keyless',
    /primary key/i,
  ))

test('preflight refuses replica identities without the old row, of tables and of partitions', () =>
  assertRefused(
    {
      setup: `${fine}
        CREATE TABLE public.by_default (id int PRIMARY KEY, n int);
        CREATE TABLE public.by_nothing (id int PRIMARY KEY, n int); ALTER TABLE public.by_nothing REPLICA IDENTITY NOTHING;
        CREATE TABLE public.by_index (id int PRIMARY KEY, n int NOT NULL UNIQUE); ALTER TABLE public.by_index REPLICA IDENTITY USING INDEX by_index_n_key;
        CREATE TABLE public.parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
        CREATE TABLE public.parted_leaf PARTITION OF public.parted DEFAULT; ${full('public.parted')}`,
    },
    'public.by_default',
    'public.by_nothing',
    'public.by_index',
    'public.parted_leaf',
    'REPLICA IDENTITY FULL',
  ))

const kinds = `${fine}
  CREATE VIEW public.a_view AS SELECT 1 AS id;
  CREATE MATERIALIZED VIEW public.a_matview AS SELECT 1 AS id;
  CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
  CREATE FOREIGN TABLE public.a_foreign (id int) SERVER files OPTIONS (filename '/dev/null');`

test('preflight refuses named relations that have no row changes of their own', () =>
  assertRefused(
    { setup: kinds, tables: { 'public.a_view': {}, 'public.a_matview': {}, 'public.a_foreign': {} } },
    'public.a_view',
    'public.a_matview',
    'public.a_foreign',
  ))

test('preflight refuses named unlogged tables and inheritance parents', () =>
  assertRefused(
    {
      tables: { 'public.unlogged': {}, 'public.child': {}, 'public.fine': {} },
      setup: `${fine} CREATE UNLOGGED TABLE public.unlogged (id int PRIMARY KEY); CREATE TABLE public.child (n int) INHERITS (public.fine)`,
    },
    'public.unlogged',
    'public.child',
    'public.fine',
  ))

test('a pattern selects the tables that can be captured; status and check name the others until they are excluded', async () => {
  const setup = `${kinds} CREATE TEMPORARY TABLE brief (id int); CREATE UNLOGGED TABLE public.quick (id int PRIMARY KEY);
    CREATE TABLE public.keyless (id int)`
  await using pipeline = await startPipeline(services, { setup, tables: { '*.*': {} } })
  const { tables } = await pipeline.assertEqual()
  assert.equal(Object.keys(tables), ['public.fine'])
  assertNames(pipeline, 'public.a_view')
  for (const command of ['status', 'check']) {
    const text = await printed(pipeline, command)
    assert.match(text, /public\.keyless: it has no primary key/)
    assert.match(text, /public\.quick: it is unlogged/)
    assert.not.match(text, /a_view|withheld/)
  }
  assert.match(await printed(pipeline, 'status'), /^incomplete, generation 1/)
  assert.is(await millrace(pipeline, 'status'), 1)
  await pipeline.producer.stop()
  assert.match(await printed(pipeline, 'status'), /^stopped, generation 1/)
  const tablesNow = { '*.*': {}, 'public.keyless': { capture: false }, 'public.quick': { capture: false } }
  await pipeline.configure({ tables: tablesNow })
  pipeline.producer.start()
  await pipeline.assertEqual()
  for (const command of ['status', 'check']) {
    assert.not.match(await printed(pipeline, command), /keyless|quick|withheld/)
  }
  const healthy = async () => /^healthy, generation 1/.test(await printed(pipeline, 'status'))
  await until(healthy, { what: 'status says healthy' })
  assert.is(await millrace(pipeline, 'status'), 0)
  await pipeline.sql('CREATE TABLE public.late (id int PRIMARY KEY)')
  const text = await printed(pipeline, 'status')
  assert.match(
    text,
    /^incomplete, .*not captured public\.late: it came, or was configured, after generation 1 was loaded/s,
  )
})

test('preflight refuses virtual generated columns, which Postgres cannot log', () =>
  assertRefused(
    {
      tables: { 'public.made': {} },
      setup: `CREATE TABLE public.made (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) VIRTUAL); ${full('public.made')}`,
    },
    'public.made',
    'twice',
    'STORED',
  ))

test('preflight refuses a configuration that captures nothing', () =>
  assertRefused({ setup: fine, tables: { 'nowhere.*': {} } }, /no table/i))

test('preflight refuses a partition key that is no column, or may be NULL', async () => {
  const setup = `CREATE TABLE public.t (id int PRIMARY KEY, n int); ${full('public.t')}`
  await assertRefused({ setup, tables: { 'public.t': { partitionKey: ['nowhere'] } } }, 'public.t', 'nowhere')
  await assertRefused({ setup, tables: { 'public.t': { partitionKey: ['n'] } } }, 'public.t', /\bn\b/, /NULL/)
})

test('preflight refuses a text override of a missing column', () =>
  assertRefused({ setup: fine, tables: { 'public.fine': { text: ['nowhere'] } } }, 'public.fine', 'nowhere'))

test('preflight refuses columns with names that the ClickHouse tables reserve', () =>
  assertRefused(
    {
      setup: `CREATE TABLE public.reserved (id int PRIMARY KEY, _sign int, _version int, _deleted int); ${full('public.reserved')}`,
    },
    'public.reserved',
    '_sign',
    '_version',
    '_deleted',
  ))

test.run()
