// test/service/inserts.test: inserts into a changelog that fail, are cut off, or are repeated.

import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { currentSelect, tableStatements } from '../../clickhouse/ddl.ts'
import { insertSlices } from '../../consumer/insert/insert.ts'
import { type Inserter, insertQueryPrefix } from '../../consumer/insert/inserter.ts'
import { isolate } from '../../consumer/insert/isolate.ts'
import { completeInsert, restoreTombstones, waitForRunningInserts } from '../../consumer/insert/recover.ts'
import { retractAll } from '../../consumer/insert/truncate.ts'
import type { Slice } from '../../consumer/records/slice.ts'
import type { Encoding } from '../../contract/table.ts'
import { createNotes, notesInserter, notesSlice, notesTarget } from '../support/fixtures/notes-table.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('inserts')

const [changelog, current] = ['`public.notes.changelog`', '`public.notes.current`']
const target = notesTarget()

let services: Servers
let database: string
let clickhouse: Clickhouse
let inserter: Inserter

test.before(async () => {
  services = await shareServers(['clickhouse'])
  database = uniqueName('inserts')
  clickhouse = await createWarehouse(services, database, { queryPrefix: insertQueryPrefix(database) })
  await createNotes(clickhouse)
  await clickhouse.command('CREATE TABLE broken (yes UInt8) ENGINE = MergeTree ORDER BY yes')
  inserter = await notesInserter(clickhouse, database)
})
test.before.each(async () => {
  for (const name of [changelog, current]) await clickhouse.command(`TRUNCATE TABLE ${name}`)
})
test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

async function notesIn(table: string): Promise<string[]> {
  const rows = await clickhouse.rows<{ note: string }>(`SELECT note FROM ${table} ORDER BY id`)
  return rows.map(({ note }) => note)
}

const content = () => Promise.all([changelog, '`public.notes`'].map(notesIn))

test('an insert of which any part is there is completed: changelog and current state then have each row once', async () => {
  const slice = await notesSlice(target, ['a', 'b', 'c', 'd'])
  const states: Record<string, () => Promise<unknown>> = {
    nothing: async () => {},
    'the whole insert': () => insertSlices(inserter, target, [slice]),
    'a part of the records': () => insertSlices(inserter, target, [{ ...slice, from: 1, to: 3 }]),
    'the changelog alone': async () => {
      await insertSlices(inserter, target, [slice])
      await clickhouse.command(`TRUNCATE TABLE ${current}`)
    },
    'parts of both': async () => {
      await insertSlices(inserter, target, [{ ...slice, from: 0, to: 2 }])
      await clickhouse.command(`ALTER TABLE ${current} DELETE WHERE id = 0`, { mutations_sync: '1' })
    },
  }
  for (const [what, prepare] of Object.entries(states)) {
    for (const name of [changelog, current]) await clickhouse.command(`TRUNCATE TABLE ${name}`)
    await prepare()
    for (let times = 0; times < 2; times++) {
      await completeInsert(inserter, target, [slice])
      assert.equal(
        await content(),
        [
          ['a', 'b', 'c', 'd'],
          ['a', 'b', 'c', 'd'],
        ],
        what,
      )
    }
  }
})

test('an insert that a view behind the changelog has cut off is completed, and not repeated', async () => {
  await clickhouse.command(
    `CREATE MATERIALIZED VIEW cuts_off ENGINE = Null AS
SELECT throwIf((SELECT count() FROM broken) > 0, 'cut off') AS yes FROM ${changelog}`,
  )
  await clickhouse.command('INSERT INTO broken VALUES (1)')
  const slice = await notesSlice(target, ['a', 'b'])
  await assert.refuses(() => insertSlices(inserter, target, [slice]), 'CLICKHOUSE_FAILED', /a materialized view/)
  await clickhouse.command('TRUNCATE TABLE broken')
  await completeInsert(inserter, target, [slice])
  assert.equal(await content(), [
    ['a', 'b'],
    ['a', 'b'],
  ])
  await clickhouse.command('DROP TABLE cuts_off')
})

test('a completed insert also has its TRUNCATEs, and the images of a TRUNCATE once', async () => {
  const slices = [await notesSlice(target, ['a', 'b', 'c'])]
  await insertSlices(inserter, target, slices)
  const truncate = await notesSlice(target, [''], { first: 3, op: 't' })
  for (let times = 0; times < 3; times++) {
    await completeInsert(inserter, target, [truncate])
    assert.equal([(await notesIn(changelog)).length, await notesIn('`public.notes`')], [6, []])
  }
})

test('older records that are inserted again restore no key that was deleted later, even without its tombstone', async () => {
  const created = await notesSlice(target, ['a', 'b'], { first: 100 })
  for (const slice of [created, await notesSlice(target, ['a'], { first: 102, op: 'd' })])
    await insertSlices(inserter, target, [slice])
  for (const lost of ['0', '_offset = 100', '_offset < 102']) {
    await clickhouse.command(`ALTER TABLE ${changelog} DELETE WHERE ${lost}`, { mutations_sync: '1' })
    await clickhouse.command(`OPTIMIZE TABLE ${current} FINAL`)
    await clickhouse.command(`ALTER TABLE ${current} DELETE WHERE _deleted = 1`, { mutations_sync: '1' })
    await restoreTombstones(inserter, target, { partition: 0, end: created.end })
    await completeInsert(inserter, target, [created])
    assert.equal(await notesIn('`public.notes`'), ['b'], lost)
  }
})

test('running inserts of a client that is gone are waited for', async () => {
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
  const limited = { ...inserter, clickhouse: small }
  await assert.rejects(() => retractAll(limited, table, record), /cut off/)
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
  await retractAll(limited, table, record)
  await small.close()
  // As recovery does: the current state contains no row of the interrupted block.
  await clickhouse.command(`INSERT INTO \`public.much.current\` ${currentSelect(table, ' AND _offset = 1000000')}`)
  assert.equal(await left(), [0, 1_000_000, 1_000_000])
})

test('up to twenty records that a table cannot store become dead letters; more of them stop the consumer', async () => {
  await clickhouse.command(`ALTER TABLE ${changelog} ADD CONSTRAINT short CHECK length(note) < 5`)
  const notes = (bad: number) =>
    Array.from({ length: 60 }, (_, index) => (index % 3 === 0 && bad-- > 0 ? 'too long' : 'ok'))
  const tryOut = async (given: readonly string[]) => {
    const slices = [await notesSlice(target, given)]
    return isolate({ clickhouse, table: target, format: target.format(2), slices })
  }
  assert.is(await tryOut(notes(0)), undefined)
  const isolated = await tryOut(notes(20))
  assert.equal(
    isolated!.refused.map(({ record: { records, from } }) => records.offsets[from]),
    Array.from({ length: 20 }, (_, index) => 3 * index),
  )
  await assert.refuses(() => tryOut([...notes(20), 'too long']), 'CLICKHOUSE_FAILED', /the records are not the cause/)

  const refused: number[] = []
  const onRefused: Inserter['onRefused'] = async (_, letters) => {
    for (const { record } of letters) refused.push(record.records.offsets[record.from]!)
  }
  const slices: Slice[] = [await notesSlice(target, ['ok', 'too long', 'ok'])]
  await insertSlices({ ...inserter, onRefused }, target, slices)
  assert.equal(
    [refused, await content()],
    [
      [1],
      [
        ['ok', 'ok'],
        ['ok', 'ok'],
      ],
    ],
  )
})

test.run()
