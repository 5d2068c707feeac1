// test/service/repeated-insert.test: assumptions of recovery: a running server completes an insert
// that is sent again under its token, and lists running statements.

import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { currentSelect, tableStatements, tokenSettings } from '../../clickhouse/ddl.ts'
import { insertSettings } from '../../clickhouse/insert.ts'
import { insertQueryPrefix } from '../../consumer/insert/insert.ts'
import { waitForRunningInserts } from '../../consumer/insert/recover.ts'
import { retractAll } from '../../consumer/insert/truncate.ts'
import { serverRunId, serverRunStatement } from '../../consumer/warehouse/server-run.ts'
import type { Encoding } from '../../contract/table.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('an insert that is sent again')

/** ClickHouse looks for removable parts every second instead of every half minute. */
const cleanedOften = 'cleanup_delay_period = 1, max_cleanup_delay_period = 1, cleanup_delay_period_random_add = 0'

let services: Servers
let database: string
let clickhouse: Clickhouse

test.before(async () => {
  services = await shareServers(['clickhouse'])
  database = uniqueName('repeated')
  clickhouse = await createWarehouse(services, database, { queryPrefix: insertQueryPrefix(database) })
  const settings = `SETTINGS ${tokenSettings}`
  for (const sql of [
    `CREATE TABLE changelog (id Int64) ENGINE = MergeTree ORDER BY id ${settings}`,
    `CREATE TABLE early (total Int64) ENGINE = SummingMergeTree ORDER BY () ${settings}`,
    `CREATE TABLE late (total Int64) ENGINE = SummingMergeTree ORDER BY () ${settings}`,
    `CREATE TABLE forgets (id Int64, total Int64) ENGINE = SummingMergeTree ORDER BY id ${settings}, ${cleanedOften}`,
    'ALTER TABLE forgets MODIFY SETTING remove_empty_parts = 1',
    `CREATE TABLE remembers (id Int64, total Int64) ENGINE = SummingMergeTree ORDER BY id ${settings}, ${cleanedOften}`,
    'CREATE TABLE broken (yes UInt8) ENGINE = Memory',
    'CREATE MATERIALIZED VIEW a_fold TO early AS SELECT sum(id) AS total FROM changelog',
    `CREATE MATERIALIZED VIEW b_fold TO late AS
      SELECT sum(id) + throwIf((SELECT count() FROM broken) > 0, 'broken') AS total FROM changelog`,
  ]) {
    await clickhouse.command(sql)
  }
})

test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

async function insert(token: string): Promise<void> {
  await clickhouse.command('INSERT INTO changelog SELECT number FROM numbers(1, 4)', insertSettings(token, 4))
}

async function sums(): Promise<number[]> {
  const [row] = await clickhouse.rows<Record<string, string>>(
    'SELECT (SELECT sum(id) FROM changelog) AS a, (SELECT sum(total) FROM early) AS b, (SELECT sum(total) FROM late) AS c',
  )
  return Object.values(row!).map(Number)
}

test('a repeated insert adds only missing rows to each table', async () => {
  await clickhouse.command('INSERT INTO broken VALUES (1)', { async_insert: 0 })
  await assert.rejects(() => insert('first'))
  assert.is((await sums())[2], 0)
  await clickhouse.command('TRUNCATE TABLE broken')
  for (let times = 0; times < 3; times++) {
    await insert('first')
    assert.equal(await sums(), [10, 10, 10])
  }
  await insert('second')
  assert.equal(await sums(), [20, 20, 20])
})

test('a repeated insert does not count again when its sums were zero', async () => {
  const tables = ['forgets', 'remembers'] as const
  const add = (table: string, total: number) =>
    clickhouse.command(`INSERT INTO ${table} VALUES (1, ${total})`, insertSettings(`${table} ${total}`, 1))
  for (const table of tables) {
    await add(table, 5)
    await add(table, -5)
    await clickhouse.command(`OPTIMIZE TABLE ${table} FINAL`)
  }
  const parts = `SELECT table, count() AS n FROM system.parts WHERE database = currentDatabase() AND active
    AND table IN ('forgets', 'remembers') GROUP BY table`
  await until(async () => (await clickhouse.rows(parts)).length === 1, { what: 'an empty part is removed' })
  for (const table of tables) await add(table, 5)
  const total = async (table: string) =>
    Number((await clickhouse.rows<{ n: string }>(`SELECT sum(total) AS n FROM ${table}`))[0]!.n)
  assert.is(await total('forgets'), 5, 'ClickHouse no longer needs to be told; see tokenSettings')
  assert.is(await total('remembers'), 0)
})

test('recovery waits for running statements of a client that is gone, of every kind', async () => {
  await clickhouse.command('CREATE TABLE slow (id Int64) ENGINE = MergeTree ORDER BY id')
  const left = clickhouse.command('INSERT INTO slow SELECT number + sleepEachRow(0.1) FROM numbers(15)')
  const running = "SELECT 1 FROM system.processes WHERE query LIKE 'INSERT INTO slow%'"
  await until(async () => (await clickhouse.rows(running)).length === 1, { what: 'the insert runs' })
  await waitForRunningInserts({ clickhouse, database })
  const [row] = await clickhouse.rows<{ n: string }>('SELECT count() AS n FROM slow')
  assert.is(Number(row!.n), 15)
  await left
})

test('a TRUNCATE of more rows than fit into memory retracts each row once, also after an interruption', async () => {
  const column = (name: string, encoding: Encoding, pgType: string) => ({ name, encoding, pgType, nullable: false })
  const columns = [column('id', 'long', 'bigint'), column('note', 'string', 'text')]
  const table = { schema: 'public', name: 'much', columns, key: ['id'], partitionKey: ['id'] }
  const small = connectClickhouse({
    ...{ url: clickhouse.url, user: 'default', password: '', database },
    settings: { max_memory_usage: '250000000', max_threads: 2 },
  })
  for (const sql of [
    ...tableStatements(table),
    'CREATE TABLE cells (cell String, n Int64) ENGINE = SummingMergeTree ORDER BY cell',
    `CREATE MATERIALIZED VIEW cells_of_much TO cells AS SELECT cell, sum(_sign) AS n
      FROM (SELECT _sign, arrayJoin(arrayMap(x -> repeat(toString(x), 20), range(8))) AS cell FROM \`public.much.changelog\`) GROUP BY cell`,
    `INSERT INTO \`public.much.changelog\` SELECT number, 'of this row', 1, 'r', 1, number, number + 1, 0, number, now64(6) FROM numbers(1000000)
      SETTINGS max_insert_block_size = 50000, min_insert_block_size_rows = 50000, max_block_size = 50000`,
    `CREATE MATERIALIZED VIEW cut_off ENGINE = Null AS
      SELECT throwIf(countIf(_sign < 0 AND id = 700000) > 0, 'cut off') AS yes FROM \`public.much.changelog\``,
  ])
    await clickhouse.command(sql)
  const record = {
    partition: 0,
    offset: 1_000_000,
    head: { ...{ lsn: 2, ordinal: 0, transaction: 1 }, commitTimeUs: 0, snapshot: false },
  }
  await assert.rejects(() => retractAll(small, table, record), /cut off/)
  const left = async () => {
    const [row] = await clickhouse.rows<Record<string, string>>(
      `SELECT (SELECT count() FROM \`public.much\`) AS live, countIf(_sign < 0) AS retracted, uniqExactIf(id, _sign < 0) AS keys
FROM \`public.much.changelog\``,
    )
    return Object.values(row!).map(Number)
  }
  const half = await left()
  assert.ok(half[1]! > 0 && half[1]! < 1_000_000 && half[1] === half[2], String(half))
  await clickhouse.command('DROP TABLE cut_off')
  await retractAll(small, table, record)
  await small.close()
  // As recovery does: the current state contains no row of the interrupted block.
  await clickhouse.command(`INSERT INTO \`public.much.current\` ${currentSelect(table, ' AND _offset = 1000000')}`)
  assert.equal(await left(), [0, 1_000_000, 1_000_000])
})

test('a server that restarts right after its run id was read gets a new run id', async () => {
  await clickhouse.command(serverRunStatement)
  let restarts = 1
  const restarted: Clickhouse = {
    ...clickhouse,
    command: async (sql, settings) => {
      await clickhouse.command(sql, settings)
      // A Memory table is empty after a start.
      if (restarts-- > 0) await clickhouse.command('TRUNCATE TABLE server_lifetime')
    },
  }
  const named = await serverRunId(restarted)
  assert.match(named, /^[0-9a-f-]{36}$/)
  assert.is(await serverRunId(clickhouse), named)
})

test.run()
