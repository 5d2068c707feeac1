// test/service/postgres-catalog: what is read of tables, however they are named and built.
// May know: postgres, producer/tables, runtime/config-schema, contract, stack, test/support.

import { parseValueSchema, valueSchema } from '../../contract/schema.ts'
import { readTables, replicatedColumns, type SourceTable } from '../../postgres/catalog.ts'
import { captureTables } from '../../producer/tables.ts'
import { configSchema } from '../../runtime/config-schema.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { typeCases, valueTypes } from '../support/postgres-values.ts'
import { type Services, startServices } from '../support/services.ts'
import { assert, suite } from '../support/suite.ts'

const test = suite('postgres catalog')
let services: Services
let db: TestDatabase

test.before(async () => {
  services = await startServices(['postgres'])
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

test('columns of any type, also behind two domains, are what the registered schema says of them', async () => {
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

test('a NOT NULL that was never validated does not promise anything', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, a int, b int)')
  await db.sql('INSERT INTO t VALUES (1)')
  await db.sql('ALTER TABLE t ADD CONSTRAINT a_set NOT NULL a NOT VALID')
  const { columns } = await readOne('t')
  assert.equal(
    columns.map(({ nullable }) => nullable),
    [false, true, true],
  )
})

test('names of every kind come as they are', async () => {
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
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`
  for (const name of names) {
    await db.sql(`CREATE SCHEMA ${quoted(name)}`)
    await db.sql(`CREATE TABLE ${quoted(name)}.${quoted(name)} (${quoted(name)} int PRIMARY KEY)`)
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

test('what has no row changes of its own says why', async () => {
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

test('Postgres refuses updates of a published table with a virtual column, which is why it is not captured', async () => {
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
