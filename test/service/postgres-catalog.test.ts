// test/service/postgres-catalog: the catalog of tables with all kinds of names and structures.

import { parseValueSchema, valueSchema } from '../../contract/schema.ts'
import { isPrintedOnce } from '../../contract/types.ts'
import { readTables, replicatedColumns, type SourceTable } from '../../postgres/catalog/catalog.ts'
import { quoteName } from '../../postgres/client/quote.ts'
import { captureTables } from '../../producer/capture/tables.ts'
import { configSchema } from '../../runtime/config/schema.ts'
import { typeCases, valueTypes } from '../support/fixtures/postgres-values.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createDatabase, type TestDatabase } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('postgres catalog')
let services: Servers
let db: TestDatabase

test.before(async () => {
  services = await shareServers(['postgres'])
})
test.before.each(async () => {
  db = await createDatabase(services.endpoints.postgres!)
})
test.after.each(() => db.drop())
test.after(() => services.stop())

const readAll = () => readTables(db.client, () => true)

async function readOne(name: string): Promise<SourceTable> {
  const [table] = await readTables(db.client, each => each.name === name)
  if (!table) throw new Error(`no table ${name}`)
  return table
}

test('columns come in order with their types, nullability and comments; dropped ones are gone', async () => {
  await db.sql(
    `CREATE TABLE t (id bigint PRIMARY KEY, gone int, amount numeric(15,2) NOT NULL, name varchar(20), at timestamptz(3))`,
  )
  await db.sql('ALTER TABLE t DROP COLUMN gone')
  await db.sql(`COMMENT ON TABLE t IS 'a ''table'''`)
  await db.sql(`COMMENT ON COLUMN t.amount IS 'in €'`)
  const { comment, key, kind, columns, unsupported } = await readOne('t')
  assert.equal(
    { comment, key, kind, unsupported },
    { comment: "a 'table'", key: ['id'], kind: 'r', unsupported: undefined },
  )
  assert.equal(
    columns.map(({ name, number, pgType, type, nullable }) => [
      name,
      number,
      pgType,
      type.name,
      type.typeModifier,
      nullable,
    ]),
    [
      ['id', 1, 'bigint', 'int8', -1, false],
      ['amount', 3, 'numeric(15,2)', 'numeric', 983_046, false],
      ['name', 4, 'character varying(20)', 'varchar', 24, true],
      ['at', 5, 'timestamp(3) with time zone', 'timestamptz', 3, true],
    ],
  )
  assert.equal(
    columns.map(column => column.comment),
    [undefined, 'in €', undefined, undefined],
  )
})

test('types that millrace considers printed alike when equal are so in Postgres', async () => {
  await db.sql(valueTypes)
  await db.sql(`CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`)
  const spelled: readonly (readonly [type: string, ...values: string[]])[] = [
    ['numeric', '1.0', '1.00'],
    ['numeric(8,2)', '1.0', '1.00', '-0'],
    ['double precision', '0', '-0'],
    ['interval', '1 day', '24:00:00'],
    ['jsonb', '1.0', '1.00'],
    ['citext', 'a', 'A'],
    ['character(3)', 'a', 'a '],
    ['bpchar', 'a', 'a '],
    ['text COLLATE folded', 'a', 'A'],
    ['text', 'a', 'A', 'a '],
    ['timestamptz', '2024-01-01 00:00+00', '2024-01-01 02:00+02'],
    ['time', '24:00', '00:00'],
    ['inet', '10.0.0.1', '10.0.0.1/32'],
    ['macaddr', '08:00:2b:01:02:03', '08002b:010203'],
    ['money', '1', '1.00'],
    ['bit(3)', '101', '101'],
    ['bytea', '\\x41', 'A'],
    ['uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc999c0b4ef8bb6d6bb9bd380a11'],
  ]
  const columns = spelled.map(([type], index) => `c${index} ${type}`).join(', ')
  await db.sql(`CREATE TABLE spelled (id int PRIMARY KEY, ${columns})`)
  const { columns: read } = await readOne('spelled')
  for (const [index, [type, ...values]] of spelled.entries()) {
    const { deterministic, type: sourceType } = read.find(({ name }) => name === `c${index}`)!
    await db.sql('TRUNCATE spelled')
    for (const [id, value] of values.entries())
      await db.sql(`INSERT INTO spelled (id, c${index}) VALUES (${id}, $1)`, [value])
    const several = await db.sql(
      `SELECT FROM spelled a JOIN spelled b ON a.c${index} = b.c${index} AND format('%s', a.c${index}) COLLATE "C" <> format('%s', b.c${index}) COLLATE "C"`,
    )
    assert.is(deterministic && isPrintedOnce(sourceType), several.length === 0, type)
  }
})

test('domains rest on their innermost type and its modifier; user types never pass for built-in ones', async () => {
  await db.sql(`CREATE DOMAIN money_amount AS numeric(12,3)`)
  await db.sql(`CREATE DOMAIN price AS money_amount NOT NULL CHECK (VALUE >= 0)`)
  await db.sql(`CREATE TYPE "numeric" AS ENUM ('a''b', '💥')`)
  await db.sql(`CREATE TYPE pair AS (a int, b text)`)
  await db.sql(
    `CREATE TABLE t (id int PRIMARY KEY, p price, e public."numeric", es public."numeric"[], c pair, r int4range, i int[][])`,
  )
  const { columns } = await readOne('t')
  assert.equal(
    columns.slice(1).map(({ pgType, type, nullable }) => [pgType, type.name, type.kind, type.typeModifier, nullable]),
    [
      ['public.price', 'numeric', 'b', 786_439, true],
      ['public."numeric"', 'public.numeric', 'e', -1, true],
      ['public."numeric"[]', '_numeric', 'b', -1, true],
      ['public.pair', 'public.pair', 'c', -1, true],
      ['int4range', 'int4range', 'r', -1, true],
      ['integer[]', '_int4', 'b', -1, true],
    ],
  )
})

test('columns of any type, also behind two domains, have the type of the registered schema', async () => {
  const columns = typeCases.flatMap(({ type }, index) => [
    `"a${index}" ${type}, "b${index}" ${type} NOT NULL, "c${index}" d${index}, "d${index}" dd${index}`,
    ...(type.endsWith('[]') ? [] : [`"e${index}" ${type}[]`]),
  ])
  const domains = typeCases.map(
    ({ type }, index) => `CREATE DOMAIN d${index} AS ${type}; CREATE DOMAIN dd${index} AS d${index};`,
  )
  await db.sql(`${valueTypes} ${domains.join(' ')} CREATE TABLE t (id int PRIMARY KEY, ${columns.join(', ')})`)
  const config = configSchema.parse({ tables: { 'public.*': {} } })
  const [captured] = captureTables(await readAll(), { config, serverVersion: 180_000, deferrable: new Set() })
  const { columns: then } = parseValueSchema(JSON.stringify(valueSchema(captured!.table)))
  assert.ok(then.length > 4 * typeCases.length)
  assert.equal(then, captured!.table.columns)
})

test('a NOT NULL that was never validated counts as nullable', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, a int, b int)')
  await db.sql('INSERT INTO t VALUES (1)')
  await db.sql('ALTER TABLE t ADD CONSTRAINT a_set NOT NULL a NOT VALID')
  const { columns } = await readOne('t')
  assert.equal(
    columns.map(({ nullable }) => nullable),
    [false, true, true],
  )
})

test('names of every kind are read unchanged', async () => {
  const names = [
    'select',
    'a-b',
    'A',
    'a"b',
    'a`b',
    'a\\b',
    'a.b',
    '💥',
    'é'.repeat(31),
    '1st',
    '__proto__',
    'constructor',
    ' x ',
    'a;DROP TABLE x',
    "a'b",
    '%s',
  ]
  for (const name of names) {
    await db.sql(`CREATE SCHEMA ${quoteName(name)}`)
    await db.sql(`CREATE TABLE ${quoteName(name)}.${quoteName(name)} (${quoteName(name)} int PRIMARY KEY)`)
  }
  const tables = await readAll()
  assert.equal(tables.map(({ schema }) => schema).sort(), [...names].sort())
  for (const { schema, name, key, columns } of tables) {
    assert.equal([name, key, columns.map(column => column.name)], [schema, [schema], [schema]])
  }
})

test('composite keys keep their own order and leave out included columns', async () => {
  await db.sql('CREATE TABLE t (a int, b int, c int, d int, PRIMARY KEY (c, a) INCLUDE (d))')
  assert.equal((await readOne('t')).key, ['c', 'a'])
  await db.sql('CREATE TABLE keyless (a int)')
  assert.equal((await readOne('keyless')).key, [])
})

test('partitions are part of their root, unless only they were chosen', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)')
  await db.sql('CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (10)')
  await db.sql('CREATE TABLE high PARTITION OF t FOR VALUES FROM (10) TO (30) PARTITION BY RANGE (id)')
  await db.sql('CREATE TABLE higher PARTITION OF high FOR VALUES FROM (20) TO (30)')
  await db.sql('ALTER TABLE low REPLICA IDENTITY FULL')
  const [root, ...others] = await readAll()
  assert.equal(others, [])
  assert.is(root!.kind, 'p')
  assert.equal(
    root!.partitions.map(({ name, replicaIdentity }) => [name, replicaIdentity]),
    [
      ['higher', 'd'],
      ['low', 'f'],
    ],
  )
  const alone = await readTables(db.client, ({ name }) => name === 'low')
  assert.equal(
    alone.map(({ name, unsupported }) => [name, unsupported]),
    [['low', undefined]],
  )
})

test('relations without row changes of their own have a reason', async () => {
  await db.sql('CREATE TABLE parent (id int PRIMARY KEY)')
  await db.sql('CREATE TABLE child () INHERITS (parent)')
  await db.sql('CREATE VIEW a_view AS SELECT * FROM parent')
  await db.sql('CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM parent')
  await db.sql('CREATE UNLOGGED TABLE quick (id int PRIMARY KEY)')
  await db.sql('CREATE TABLE v (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL)')
  await db.sql('CREATE TEMPORARY TABLE brief (id int PRIMARY KEY)')
  const reasons = Object.fromEntries((await readAll()).map(({ name, unsupported }) => [name, unsupported ?? '']))
  const expected = {
    ...{ parent: /other tables inherit/, child: /inherits from another/, a_view: /is a view/, quick: /unlogged/ },
    ...{ a_matview: /materialized view/, v: /twice is a virtual generated column/, brief: /temporary/ },
  }
  assert.equal(Object.keys(reasons).sort(), Object.keys(expected).sort())
  for (const [name, reason] of Object.entries(expected)) assert.match(reasons[name]!, reason)
})

test('Postgres refuses updates of a published table with a virtual column, so such a table is not captured', async () => {
  await db.sql('CREATE TABLE v (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL)')
  await db.sql('ALTER TABLE v REPLICA IDENTITY FULL')
  await db.sql('CREATE PUBLICATION p FOR TABLE v WITH (publish_generated_columns = stored)')
  await assert.rejects(() => db.sql('DELETE FROM v'), /cannot delete from table "v"/)
})

test('stored generated columns are replicated from version 18 on', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)')
  const table = await readOne('t')
  assert.equal(
    table.columns.map(({ generated }) => generated),
    [undefined, 'stored'],
  )
  assert.is(replicatedColumns(table, 180_000).length, 2)
  assert.is(replicatedColumns(table, 170_006).length, 1)
})

test.run()
