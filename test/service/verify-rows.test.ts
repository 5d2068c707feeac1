// test/service/verify-rows: rows are equal only if both sides have the same values; a row that
// cannot be compared is reported.

import { describe, exitCodeOf } from '../../cli/verify.ts'
import { changelogName, currentName } from '../../clickhouse/ddl.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { assertEqual, loadWarehouse, lsnOf, parts, read } from '../support/pipelines/loaded-warehouse.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('verify, rows', { timeoutMs: 180_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'clickhouse'])
})
test.after(() => services?.stop())

test('rows of every kind are equal', async () => {
  await using warehouse = await loadWarehouse(services, {
    setup: `CREATE TYPE {schema}.mood AS ENUM ('sad', 'très gai');
      CREATE TABLE {schema}.kinds (id bigint, code char(4), flag bool, small smallint, amount numeric(18, 4), free numeric, f4 real, f8 float8,
        day date, at timestamp, moment timestamptz, uid uuid, word text, mood {schema}.mood, words text[], PRIMARY KEY (id, code));
      INSERT INTO {schema}.kinds VALUES
        (1, 'ab', true, -1, 1.5, 1.50, 1.5, -2.25, '1969-12-31', '1969-12-31 23:59:59.999999', '2025-06-01 00:00:00.5+02',
          'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '', 'très gai', '{a,NULL}'),
        (2, 'cd', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
    tables: { '{schema}.*': { history: true } },
  })
  assertEqual(await warehouse.verify())
})

test('columns with the names of computed columns of verify change nothing', async () => {
  const names = ['n', 'd', 'k', 'of', 'rows', 'sum', 'repeated', 'versions', 'newest', 'lsn', 'p', 'o']
  await using warehouse = await loadWarehouse(services, {
    setup: `CREATE TABLE {schema}.odd (${names.map(name => `${name} int NOT NULL`).join(', ')}, PRIMARY KEY (n, rows));
      INSERT INTO {schema}.odd SELECT ${names.map((_, index) => `g + ${index}`).join(', ')} FROM generate_series(1, 3) g`,
    tables: { '{schema}.*': { history: true } },
  })
  const { database, schema, write } = warehouse
  const lsn = await lsnOf(warehouse)
  const row = Object.fromEntries(names.map((name, index) => [name, 1 + index]))
  const truncated = { _sign: -1, _op: 't', _lsn: lsn, _offset: 9 }
  await write(
    'odd',
    ...[1, 2, 3].map(g => ({ ...Object.fromEntries(names.map((name, index) => [name, g + index])), ...truncated })),
  )
  await database.sql(`TRUNCATE ${schema}.odd`)
  assertEqual(await warehouse.verify())
  await write('odd', { ...row, ...truncated })
  assert.match(read(await warehouse.verify(), warehouse, 'odd').problems, /^1 images are more than once/)
})

test('a moved or duplicate key is reported with counts, keys and name', async () => {
  await using warehouse = await loadWarehouse(services, { setup: parts('moved', 'dropped', 'twins', 'shared') })
  const { database, schema } = warehouse
  const drop = (name: string) => `ALTER TABLE ${schema}.${name} DROP CONSTRAINT ${name}_pkey`
  await database.sql(`${drop('moved')}, ADD PRIMARY KEY (tenant, id); INSERT INTO ${schema}.moved VALUES (1, 2, 'a', 7), (2, 2, 'b', 8);
    DELETE FROM ${schema}.moved WHERE id = 1; ${drop('dropped')}; INSERT INTO ${schema}.dropped VALUES (1, 2, 'twin', 7);
    ${drop('twins')}; INSERT INTO ${schema}.twins SELECT 1, 2, 'twin', 100 FROM generate_series(1, 30000);
    ${drop('shared')}, ADD PRIMARY KEY (tenant, id); INSERT INTO ${schema}.shared VALUES (1, 2, 'x', 7)`)
  const result = await warehouse.verify()
  const told = (name: string) => {
    const { state, counts, rows, problems } = read(result, warehouse, name)
    return [state, ...counts, ...rows, /now .*/.exec(problems)?.[0]]
  }
  assert.equal(told('moved'), ['different', 2, 2, 'repeated 1:2 2 1', 'unexpected 1:1', 'now it is (tenant, id)'])
  assert.equal(told('dropped'), ['different', 3, 2, 'repeated 1:1 2 1', 'now there is none'])
  assert.equal(told('twins'), ['different', 30_002, 2, 'repeated 1:1 30001 1', 'now there is none'])
  assert.equal(told('shared'), ['different', 3, 2, 'repeated 1:1 2 1', 'now it is (tenant, id)'])
  assert.is(exitCodeOf(result), 1)
})

test('a row that is missing or different on one side is named, down to NULL, one digit or padding', async () => {
  await using warehouse = await loadWarehouse(services, {
    setup: `CREATE TABLE {schema}.parts (id int PRIMARY KEY, sku text, amount numeric(10, 2), code char(3));
      INSERT INTO {schema}.parts SELECT g, 'a', g, 'x' FROM generate_series(1, 6) g`,
  })
  await warehouse.database.sql(`ALTER TABLE ${warehouse.schema}.parts ALTER COLUMN amount TYPE numeric(12, 4);
    UPDATE ${warehouse.schema}.parts SET sku = NULL WHERE id = 1; UPDATE ${warehouse.schema}.parts SET sku = '' WHERE id = 2;
    UPDATE ${warehouse.schema}.parts SET amount = 3.0001 WHERE id = 3; DELETE FROM ${warehouse.schema}.parts WHERE id = 4;
    INSERT INTO ${warehouse.schema}.parts VALUES (7, 'a', 7, 'x')`)
  const { rows, counts, differing, exact } = read(await warehouse.verify(), warehouse)
  assert.equal(rows, ['different 1:1', 'different 1:2', 'different 1:3', 'missing 1:7', 'unexpected 1:4'])
  assert.equal([counts, differing, exact], [[6, 6], 5, true])
})

test('tables that are missing or replaced by another kind of object are different, and hide no other table', async () => {
  await using warehouse = await loadWarehouse(services, {
    setup: parts('gone', 'replaced', 'stateless', 'logless', 'parts'),
  })
  const { database, schema, clickhouse, table } = warehouse
  await database.sql(
    `DROP TABLE ${schema}.gone; DROP TABLE ${schema}.replaced; CREATE VIEW ${schema}.replaced AS SELECT 1 AS id`,
  )
  await clickhouse.command(`DROP TABLE ${quoteName(currentName(table('stateless')))} SYNC`)
  await clickhouse.command(`DROP TABLE ${quoteName(changelogName(table('logless')))} SYNC`)
  const result = await warehouse.verify()
  for (const [name, counts, problem] of [
    ['gone', [0, 2], /there is no such table in Postgres/],
    ['replaced', [0, 2], /in Postgres it is a view/],
    ['stateless', [2, 0], /there is no table \S+\.stateless\.current in ClickHouse/],
    ['logless', [2, 0], /there is no table \S+\.logless\.changelog in ClickHouse/],
  ] as const) {
    const told = read(result, warehouse, name)
    assert.equal([told.state, told.counts, told.differing], ['different', counts, 2], name)
    assert.match(told.problems, problem)
  }
  assert.is(read(result, warehouse).state, 'equal')
  assert.is(exitCodeOf(result), 1)
})

test('missing columns are reported and the others compared; columns that were never captured are named', async () => {
  await using warehouse = await loadWarehouse(services, { setup: parts('parts', 'keyless') })
  const { database, schema } = warehouse
  await database.sql(`ALTER TABLE ${schema}.parts DROP COLUMN sku, ADD COLUMN later int;
    ALTER TABLE ${schema}.keyless DROP COLUMN sku, DROP COLUMN id; INSERT INTO ${schema}.keyless VALUES (1, 1)`)
  const result = await warehouse.verify()
  const { problems, rows } = read(result, warehouse)
  assert.equal([problems, rows], ['column sku is no longer in Postgres', []])
  assert.match(describe(result).join('\n'), 'columns that are not captured: later')
  const keyless = read(result, warehouse, 'keyless')
  assert.equal([keyless.counts, keyless.state], [[3, 2], 'different'])
  assert.match(keyless.problems, /was \(id\) .*\ncolumn id is no longer.*\ncolumn sku/)
})

test('for a table with differences everywhere, the counts and some rows are reported, whatever its size', async () => {
  await using warehouse = await loadWarehouse(services, {
    setup: 'CREATE TABLE {schema}.large (id int PRIMARY KEY, n int)',
  })
  const { database, schema, clickhouse, table } = warehouse
  await database.sql(`INSERT INTO ${schema}.large SELECT g, g FROM generate_series(1, 200000) g`)
  const lsn = await lsnOf(warehouse)
  await clickhouse.command(`INSERT INTO ${quoteName(changelogName(table('large')))} (id, n, _sign, _op, _lsn, _ordinal, _version, _partition, _offset)
    SELECT number + 1, number, 1, 'c', ${lsn}, number, bitShiftLeft(toUInt128(${lsn}), 64) + number, 0, number FROM numbers(200000)`)
  const result = await warehouse.verify()
  const { counts, differing, exact, rows } = read(result, warehouse, 'large')
  assert.equal([counts, exact, rows.length], [[200_000, 200_000], false, 20])
  assert.ok(differing > 256 && differing < 20_000, `${differing} differ`)
  assert.match(
    describe(result).join('\n'),
    `200000 rows in Postgres, 200000 in ClickHouse, at least ${differing} differ`,
  )
})

test('a table that the role may not read is not comparable, and the others are compared', async () => {
  await using warehouse = await loadWarehouse(services, {
    setup: `${parts('parts')} CREATE TABLE {schema}.open (id int PRIMARY KEY); INSERT INTO {schema}.open VALUES (1)`,
  })
  const { database, schema } = warehouse
  await database.sql(
    `CREATE ROLE ${schema} LOGIN REPLICATION; GRANT USAGE ON SCHEMA ${schema} TO ${schema}; GRANT SELECT ON ${schema}.open TO ${schema}`,
  )
  try {
    const result = await warehouse.verify({ role: schema })
    const { state, failures } = result.tables[`${schema}.parts`]!
    assert.equal(
      [result.outcome, exitCodeOf(result), state, failures[0]!.code],
      ['undecided', 2, 'failed', 'POSTGRES_DENIED'],
    )
    assert.is(result.tables[`${schema}.open`]!.state, 'equal')
    assert.match(describe(result).join('\n'), /parts +could not be compared\n {4}POSTGRES_DENIED: .*permission denied/)
  } finally {
    await database.sql(`DROP OWNED BY ${schema}; DROP ROLE ${schema}`)
  }
})

test.run()
