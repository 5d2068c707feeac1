// test/service/verify-names: verify compares images, histories, reports and names as well as rows,
// and reports waits and failures.

import { describe } from '../../cli/verify.ts'
import { storageName } from '../../clickhouse/ddl.ts'
import { versionsName } from '../../clickhouse/history.ts'
import { quoteName, quotePath, quoteString } from '../../clickhouse/quote.ts'
import { ownerMark } from '../../contract/owner.ts'
import { describeTransaction, endingStatement } from '../../postgres/client/blocking.ts'
import { identify } from '../../postgres/replication/history.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { openSnapshot } from '../../verify/snapshot.ts'
import type { Verification } from '../../verify/verify.ts'
import { writeFixture } from '../support/harness/program.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { assertEqual, loadWarehouse, lsnOf, parts, read } from '../support/pipelines/loaded-warehouse.ts'
import { createDatabase } from '../support/servers/postgres.ts'
import { quietLog, type Services, startServices } from '../support/servers/services.ts'

const test = suite('verify, images and names', { timeoutMs: 180_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'clickhouse'], { 'clickhouse.users.d/cut.xml': usersFile })
})
test.after(() => services?.stop())

/** A user whose results end after one row, without an error. */
const usersFile = `<clickhouse>
  <profiles><cut><limit>1</limit><max_result_rows>1</max_result_rows><result_overflow_mode>break</result_overflow_mode>
    <max_rows_to_read>1</max_rows_to_read><read_overflow_mode>break</read_overflow_mode></cut></profiles>
  <users><cut><password></password><profile>cut</profile><networks><ip>::/0</ip></networks></cut></users>
</clickhouse>`

test('double, unpaired, foreign and future images are reported although the rows are equal', async () => {
  const names = ['twice', 'apart', 'one_more', 'mixed', 'early']
  await using warehouse = await loadWarehouse(services, { setup: parts(...names) })
  const { write } = warehouse
  const lsn = await lsnOf(warehouse)
  const image = { id: 1, tenant: 1, sku: 'a', qty: 5, _op: 'u', _lsn: lsn, _offset: 5 }
  await write('twice', { ...image, _op: 'r', _lsn: lsn - 9, _offset: 0 })
  await write('apart', { ...image, _sign: -1, qty: 4 }, image)
  await write('one_more', image)
  await write('mixed', { ...image, _sign: -1, _lsn: 7, _offset: 6 }, image)
  await write('early', { ...image, id: 9, _lsn: 2 ** 52, _offset: 9 })
  const result = await warehouse.verify()
  const problems = names.map(name => {
    const { state, rows, problems } = read(result, warehouse, name)
    assert.equal([state, rows], ['different', []], name)
    return problems
  })
  const expected = [
    /1 images are more than once in the changelog, first at partition 0, offset 0/,
    /do not add up to the rows of the current state: a former image differs from the new image/,
    /add up to 3 rows, and the current state has 2/,
    /partition 0: the image of the highest offset is not the newest/,
    /holds changes up to 100000\/0, and the source's log ends at/,
  ]
  for (const [index, problem] of expected.entries()) assert.match(problems[index]!, problem)
})

test('images of updates, deletes and truncates add up, however many rows one offset has', async () => {
  await using warehouse = await loadWarehouse(services, {
    setup: parts('parts'),
    tables: { '{schema}.*': { history: true } },
  })
  const { database, schema, write } = warehouse
  const lsn = await lsnOf(warehouse)
  await database.sql(`TRUNCATE ${schema}.parts; INSERT INTO ${schema}.parts VALUES (3, 1, 'c', 1)`)
  const [one, two, three] = [
    { id: 1, tenant: 1, sku: 'a', qty: 5 },
    { id: 2, tenant: 1, sku: 'b', qty: 6 },
    { id: 3, tenant: 1, sku: 'c', qty: 1 },
  ]
  const truncated = { _sign: -1, _op: 't', _lsn: lsn, _offset: 2 }
  await write(
    'parts',
    { ...one, ...truncated },
    { ...two, ...truncated },
    { ...three, _op: 'c', _lsn: lsn, _ordinal: 1, _offset: 3 },
  )
  assertEqual(await warehouse.verify())
  await write('parts', { ...two, ...truncated })
  assert.match(read(await warehouse.verify(), warehouse).problems, /^1 images are more than once in the changelog\n/)
})

test('a missing version of the history is reported', async () => {
  await using warehouse = await loadWarehouse(services, {
    setup: parts('parts'),
    tables: { '{schema}.*': { history: true } },
  })
  await warehouse.clickhouse.command(
    `ALTER TABLE ${quoteName(versionsName(warehouse.table('parts')))} DELETE WHERE id = 1 SETTINGS mutations_sync = 1`,
  )
  const { problems } = read(await warehouse.verify(), warehouse)
  assert.is(problems, 'the history holds 1 versions and deletions, and the changelog has 2')
})

test('a stable name that is missing, foreign, or incomplete is reported as different', async () => {
  const names = ['missing', 'foreign_table', 'foreign_view', 'filtered', 'parts']
  await using warehouse = await loadWarehouse(services, { setup: parts(...names) })
  const { clickhouse, schema, generation } = warehouse
  const view = (name: string) => quotePath(schema, name)
  for (const statement of [
    `DROP VIEW ${view('missing')}`,
    `DROP VIEW ${view('foreign_table')}`,
    `CREATE TABLE ${view('foreign_table')} (id Int32) ENGINE = MergeTree ORDER BY id`,
    `CREATE OR REPLACE VIEW ${view('foreign_view')} AS SELECT 1 AS mine`,
    `CREATE OR REPLACE VIEW ${view('filtered')} AS SELECT * FROM ${quotePath(generation, storageName(schema, 'filtered'))} WHERE id < 2`,
  ])
    await clickhouse.command(statement)
  const result = await warehouse.verify()
  const problems = names.map(name => result.names[`${schema}.${name}`])
  assert.equal([result.outcome, problems[0], problems[4]], ['different', 'is not there', undefined])
  assert.is(problems[1], 'is no view of this pipeline, but a MergeTree')
  assert.match(problems[2]!, /^shows something else than SELECT \* FROM .*: SELECT 1 AS mine$/)
  assert.match(problems[3]!, /WHERE id < 2$/)
  assert.match(describe(result).join('\n'), `${schema}.missing is not there`)
})

test('the view behind a stable name must show every row', async () => {
  await using warehouse = await loadWarehouse(services, { setup: parts('parts') })
  const { clickhouse, generation, schema } = warehouse
  const name = storageName(schema, 'parts')
  await clickhouse.command(
    `CREATE OR REPLACE VIEW ${quoteName(name)} AS SELECT id, tenant, sku, qty FROM ${quoteName(`${name}.current`)} FINAL LIMIT 1`,
  )
  const result = await warehouse.verify()
  assert.match(result.names[`${generation}.${name}`]!, /LIMIT 1$/)
  assert.is(read(result, warehouse).problems, `${schema}.parts shows 1 rows, and the current state holds 2`)
})

test('a generation without its list of tables, or without one table, is not equal', async () => {
  await using warehouse = await loadWarehouse(services, {
    setup: `${parts('parts')} CREATE TABLE {schema}.other (id int PRIMARY KEY)`,
  })
  const { clickhouse, generation, schema, database } = warehouse
  await database.sql(`CREATE TABLE ${schema}.newcomer (id int PRIMARY KEY)`)
  await clickhouse.command(`ALTER TABLE captured DELETE WHERE topic = '${schema}.other' SETTINGS mutations_sync = 1`)
  const { outcome, names, uncaptured } = await warehouse.verify()
  assert.equal([outcome, uncaptured], ['different', [`${schema}.newcomer`, `${schema}.other`]])
  assert.equal(names, {
    [`${generation}.${schema}.other.changelog`]: 'belongs to no captured table of the generation',
  })
  await clickhouse.command('TRUNCATE TABLE captured')
  await assert.refuses(() => warehouse.verify(), 'NOTHING_LOADED', /has no list of captured tables/)
})

test('equal rows of another database do not count, and a database without an owner mark is no generation', async () => {
  await using warehouse = await loadWarehouse(services, { setup: parts('parts') })
  const { clickhouse, generation, config } = warehouse
  const claim = (mark: string) => clickhouse.command(`ALTER DATABASE ${generation} MODIFY COMMENT ${quoteString(mark)}`)
  const mark = (source: string) => ownerMark(config.name, { number: 1, id: 'standing', kafkaCluster: 'none', source })
  await claim(mark('7000000000000000001/shop'))
  const refused = /loaded from 7000000000000000001\/shop, and this database is \d+\/\w+ .*nothing was compared/
  await assert.refuses(() => warehouse.verify(), 'GENERATION_CHANGED', refused)
  await claim(mark((await identify(warehouse.database.url)).source))
  assertEqual(await warehouse.verify())
  await claim('made by hand')
  await assert.refuses(() => warehouse.verify(), 'NOTHING_LOADED', /holds no loaded generation/)
})

test('user settings that truncate results cannot hide a difference', async () => {
  await using warehouse = await loadWarehouse(services, { setup: parts('parts') })
  const { schema, database } = warehouse
  await database.sql(`INSERT INTO ${schema}.parts SELECT g, 1, 'more', 1 FROM generate_series(3, 2000) g`)
  const result = await warehouse.verify({ user: 'cut' }).catch((error: unknown) => error)
  if (result instanceof MillraceError) assert.is(result.code, 'CLICKHOUSE_FAILED')
  else assert.is.not((result as Verification).outcome, 'equal', describe(result as Verification).join('\n'))
})

const reports = {
  'model.yaml': 'requires: []\npublish:\n  {schema}_reports: [fine, too_large, too_large_there]\n',
  'clickhouse/1.sql': `CREATE VIEW fine AS SELECT 1 AS id, 2 AS n;
CREATE VIEW too_large AS SELECT 1 AS id, toDecimal64(1, 2) AS n;
CREATE VIEW too_large_there AS SELECT 1 AS id, toDecimal32('9' || toString(number), 2) AS n FROM numbers(12345678901, 1);
`,
  'checks/fine.sql': '-- key: id\nSELECT 1 AS id, 2 AS n',
  'checks/too_large.sql': '-- key: id\nSELECT 1 AS id, 9999999999999999::numeric(15, 2) AS n',
  'checks/too_large_there.sql': '-- key: id\nSELECT 1 AS id, 1 AS n',
}

test('a report that overflows on either side is not comparable, and hides neither tables nor other reports', async () => {
  const reportsDatabase = `reports_${process.pid}`
  const files = Object.entries(reports).map(([name, text]) => [
    name,
    text.replaceAll('{schema}_reports', reportsDatabase),
  ])
  const model = writeFixture(Object.fromEntries(files))
  await using warehouse = await loadWarehouse(services, { setup: parts('parts'), settings: { model } })
  try {
    const result = await warehouse.verify()
    const states = Object.values(result.reports).map(({ state, failure }) =>
      [state, failure?.code].filter(Boolean).join(' '),
    )
    assert.equal(states, ['equal', 'failed POSTGRES_FAILED', 'failed CLICKHOUSE_FAILED'], describe(result).join('\n'))
    assert.equal([result.outcome, result.tables[`${warehouse.schema}.parts`]!.state], ['undecided', 'equal'])
    assert.match(describe(result).join('\n'), /too_large +could not be compared\n {4}POSTGRES_FAILED: .*overflow/)
  } finally {
    await warehouse.clickhouse.command(`DROP DATABASE ${reportsDatabase} SYNC`)
  }
})

test('verify ends at once on a signal, in the middle of a comparison', async () => {
  await using warehouse = await loadWarehouse(services, { setup: parts('parts') })
  const { clickhouse, schema } = warehouse
  const name = storageName(schema, 'parts')
  await clickhouse.command(
    `CREATE OR REPLACE VIEW ${quoteName(name)} AS SELECT id, tenant, sku, qty FROM ${quoteName(`${name}.current`)} FINAL WHERE sleepEachRow(1.4) = 0`,
  )
  const stop = new AbortController()
  const verifying = warehouse.verify({ signal: stop.signal })
  const reading = `SELECT 1 FROM system.processes WHERE query LIKE '%FROM \`${schema}\`.\`parts\`%' AND query NOT LIKE '%processes%'`
  await until(async () => (await clickhouse.rows(reading)).length > 0, { what: 'the view is read', timeoutMs: 60_000 })
  const started = performance.now()
  stop.abort()
  await assert.rejects(() => verifying, /abort/)
  assert.ok(performance.now() - started < 1_000, `${performance.now() - started} ms`)
  const slots = await warehouse.database.sql(
    'SELECT slot_name FROM pg_replication_slots WHERE database = current_database()',
  )
  assert.equal(slots, [])
})

/** Opens a transaction in another database of the server and forgets it. */
async function openTransaction(services: Services) {
  const elsewhere = await createDatabase(services.endpoints.postgres!)
  const client = await elsewhere.connect()
  await client.query("SET application_name = 'forgotten'; BEGIN; SELECT pg_current_xact_id()")
  return { elsewhere, client }
}

test('verify names the open transaction that it waits for; Ctrl-C ends the wait at once and leaves no slot', async () => {
  await using warehouse = await loadWarehouse(services, { setup: parts('parts') })
  const { elsewhere, client } = await openTransaction(services)
  const lines: string[] = []
  const log = {
    ...quietLog(),
    warn: (message: string, fields?: object) => lines.push(`${message} ${JSON.stringify(fields)}`),
  }
  const stop = new AbortController()
  const verifying = warehouse.verify({ log, signal: stop.signal })
  await until(() => lines.length > 0, { what: 'it says what it waits for' })
  assert.match(
    lines[0]!,
    new RegExp(
      `waiting for another transaction .*pid \\d+ \\(database ${elsewhere.name}, .*application forgotten, idle in transaction`,
    ),
  )
  const started = performance.now()
  stop.abort()
  await assert.rejects(() => verifying, /abort/)
  assert.ok(performance.now() - started < 3_000, `${performance.now() - started} ms`)
  assert.equal(await warehouse.database.sql('SELECT slot_name FROM pg_replication_slots'), [])
  await client.query('COMMIT')
  assertEqual(await warehouse.verify())
  await elsewhere.drop()
})

test('verify gives up after a limit that it names, and its suggested statement ends the open transaction', async () => {
  await using warehouse = await loadWarehouse(services, { setup: parts('parts') })
  const { elsewhere } = await openTransaction(services)
  const waiting = { log: quietLog(), signal: new AbortController().signal, limitMs: 4_000 }
  const error = await assert.refuses(
    () => openSnapshot(warehouse.database.url, waiting),
    'TIMED_OUT',
    /within 4 s.*is still open/,
  )
  assert.equal(await warehouse.database.sql('SELECT slot_name FROM pg_replication_slots'), [])
  await warehouse.database.sql(/end it with (.*), and verify/.exec(error.next)![1]!)
  const snapshot = await openSnapshot(warehouse.database.url, waiting)
  await snapshot.close()
  await elsewhere.drop()
})

test('a prepared transaction is named by its identifier', () => {
  const open = {
    pid: undefined,
    gid: "o'rphan",
    database: 'shop',
    user: undefined,
    application: undefined,
    state: undefined,
  }
  const transaction = { ...open, seconds: 7, statement: undefined }
  assert.is(describeTransaction(transaction), "prepared transaction 'o'rphan' (database shop, open for 7 s)")
  assert.is(endingStatement(transaction), "ROLLBACK PREPARED 'o''rphan'")
})

test.run()
