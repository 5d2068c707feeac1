// test/service/postgres-changes: every kind of row change as a real Postgres sends it.

import { isDeepStrictEqual } from 'node:util'
import { Random } from '../../generator/shop/random.ts'
import { query, withClient } from '../../postgres/client/client.ts'
import { runPeriodically } from '../../postgres/client/periodic.ts'
import { heartbeat } from '../../postgres/replication/heartbeat.ts'
import { runTransaction } from '../support/fixtures/random-transaction.ts'
import { testSeed } from '../support/harness/seed.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { readWithLibrary } from '../support/oracles/library-stream.ts'
import { createDatabase, type TestDatabase } from '../support/servers/postgres.ts'
import type { Recorded } from '../support/servers/recording-handler.ts'
import { quietLog, type Services, startServices } from '../support/servers/services.ts'
import { type Capture, createCapture, recordStream, type Transaction } from '../support/servers/stream.ts'

const test = suite('postgres changes')
let services: Services
let db: TestDatabase

test.before(async () => {
  services = await startServices(['postgres'])
  await withClient(services.endpoints.postgres!, admin =>
    query(admin, 'ALTER SYSTEM SET max_prepared_transactions = 5'),
  )
  await services.kill('postgres')
  await services.restart()
})
test.before.each(async () => {
  db = await createDatabase(services.endpoints.postgres!)
})
test.after.each(() => db.drop())
test.after(() => services.stop())

/** The next transactions of the capture, without relation messages. */
async function read(capture: Capture, transactions: number): Promise<Recorded[][]> {
  const { stream, received } = await recordStream(db, capture)
  const all = await received(transactions)
  await stream.close()
  return all.map(changesOf)
}

function changesOf({ changes }: Transaction): Recorded[] {
  return changes.filter(change => change.kind !== 'relation')
}

const table = 'public.t'
const insert = (...after: (string | null)[]): Recorded => ({ kind: 'insert', table, after })
const remove = (...before: (string | null)[]): Recorded => ({ kind: 'delete', table, before, keyOnly: false })
const update = (before: (string | null)[], after: (string | null)[]): Recorded => ({
  kind: 'update',
  table,
  before,
  keyOnly: false,
  after,
})

test('insert, update, change of the key and delete carry whole rows', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, v text)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
  const capture = await createCapture(db, [table])
  await db.sql("INSERT INTO t VALUES (1, 'a'), (2, NULL)")
  await db.sql('UPDATE t SET v = NULL WHERE id = 1')
  await db.sql('UPDATE t SET id = id + 10')
  await db.sql('DELETE FROM t WHERE id = 12')
  assert.equal(await read(capture, 4), [
    [insert('1', 'a'), insert('2', null)],
    [update(['1', 'a'], ['1', null])],
    [update(['2', null], ['12', null]), update(['1', null], ['11', null])],
    [remove('12', null)],
  ])
})

test('keys swapped within one statement come as two updates in order', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
  const capture = await createCapture(db, [table])
  await db.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
  await db.sql('UPDATE t SET id = 3 - id')
  const [, swapped] = await read(capture, 2)
  assert.equal(swapped, [update(['1', 'a'], ['2', 'a']), update(['2', 'b'], ['1', 'b'])])
})

test('changes that were rolled back, entirely or to a savepoint, are not sent; nor are empty transactions', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY)')
  const capture = await createCapture(db, [table])
  await db.sql('BEGIN; INSERT INTO t VALUES (1); ROLLBACK')
  await db.sql('CREATE TABLE unpublished (id int)')
  await db.sql(`BEGIN; INSERT INTO t VALUES (2); SAVEPOINT a; INSERT INTO t VALUES (3); ROLLBACK TO a;
    INSERT INTO t VALUES (4); SAVEPOINT b; INSERT INTO t VALUES (5); RELEASE b; COMMIT`)
  assert.equal(await read(capture, 1), [[insert('2'), insert('4'), insert('5')]])
})

test('a two-phase transaction is sent when it is committed, and not at all when rolled back', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY)')
  const capture = await createCapture(db, [table])
  await db.sql(`BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '${db.name}_1'`)
  await db.sql(`BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION '${db.name}_2'`)
  await db.sql('INSERT INTO t VALUES (3)')
  await db.sql(`ROLLBACK PREPARED '${db.name}_2'`)
  await db.sql(`COMMIT PREPARED '${db.name}_1'`)
  assert.equal(await read(capture, 2), [[insert('3')], [insert('1')]])
})

test('an update includes a TOASTed value that it does not change', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, n int, long text STORAGE EXTERNAL)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
  const capture = await createCapture(db, [table])
  const long = 'x'.repeat(10_000)
  await db.sql("INSERT INTO t VALUES (1, 1, repeat('x', 10000))")
  await db.sql('UPDATE t SET n = 2')
  await db.sql('ALTER TABLE t REPLICA IDENTITY DEFAULT')
  await db.sql('UPDATE t SET n = 3')
  const changes = await read(capture, 3)
  assert.equal(changes[1], [update(['1', '1', long], ['1', '2', long])])
  const [withoutIdentity] = changes[2]!
  assert.is(withoutIdentity?.kind === 'update' && withoutIdentity.after[2], undefined)
})

test('truncate names every table that it reaches', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY)')
  await db.sql('CREATE TABLE u (id int PRIMARY KEY, t int REFERENCES t)')
  await db.sql('CREATE TABLE apart (id int PRIMARY KEY)')
  const capture = await createCapture(db, [table, 'public.u', 'public.apart'])
  await db.sql('TRUNCATE t CASCADE')
  await db.sql('TRUNCATE apart, t, u RESTART IDENTITY')
  const [[cascaded] = [], [listed] = []] = await read(capture, 2)
  assert.equal(cascaded, { kind: 'truncate', tables: [table, 'public.u'], cascade: true, restart: false })
  const tables = listed?.kind === 'truncate' ? [...listed.tables].sort() : []
  assert.equal(tables, ['public.apart', table, 'public.u'])
  assert.is(listed?.kind === 'truncate' && listed.restart, true)
})

test('stored generated columns are part of the row', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
  const capture = await createCapture(db, [table])
  await db.sql('INSERT INTO t (id, n) VALUES (1, 5)')
  await db.sql('UPDATE t SET n = 6')
  assert.equal(await read(capture, 2), [[insert('1', '5', '10')], [update(['1', '5', '10'], ['1', '6', '12'])]])
})

test('a row of a partition is sent under its root, also when it moves, and the partition sends its own replica identity', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)')
  await db.sql('CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (10)')
  await db.sql('CREATE TABLE high (v text, id int NOT NULL)')
  await db.sql('ALTER TABLE t ATTACH PARTITION high FOR VALUES FROM (10) TO (20)')
  for (const name of ['t', 'low']) await db.sql(`ALTER TABLE ${name} REPLICA IDENTITY FULL`)
  const capture = await createCapture(db, [table], 'p')
  await db.sql("INSERT INTO t VALUES (1, 'a'), (11, 'b')")
  await db.sql('UPDATE t SET id = 12 WHERE id = 1')
  await db.sql('DELETE FROM t WHERE id = 11')
  const { stream, received, events } = await recordStream(db, capture)
  const [inserted, moved, deleted] = (await received(3)).map(changesOf)
  await stream.close()
  assert.equal(inserted, [insert('1', 'a'), insert('11', 'b')])
  assert.equal(moved, [remove('1', 'a'), insert('12', 'a')])
  // A partition without FULL is announced as FULL, but logs only keys.
  assert.equal(deleted, [remove('11', null)])
  const announced = events.flatMap(event =>
    event.kind === 'relation' ? [`${event.relation.name} ${event.relation.replicaIdentity}`] : [],
  )
  assert.equal(announced.slice(0, 4), ['t f', 'low f', 't f', 'high d'])
})

test('values print exactly, whatever the database and the role are set to', async () => {
  await db.sql(`ALTER DATABASE ${db.name} SET datestyle = 'German'`)
  await db.sql(`ALTER DATABASE ${db.name} SET timezone = 'America/St_Johns'`)
  await db.sql(`ALTER DATABASE ${db.name} SET bytea_output = 'escape'`)
  await db.sql(`ALTER DATABASE ${db.name} SET extra_float_digits = -5`)
  await db.sql(`ALTER DATABASE ${db.name} SET intervalstyle = 'sql_standard'`)
  // A machine may have no other locale that prints money differently.
  await db.sql(`ALTER DATABASE ${db.name} SET lc_monetary = 'POSIX'`)
  const [session] = await withClient(db.url, client =>
    query<{ money: string }>(client, `SELECT current_setting('lc_monetary') AS money`),
  )
  assert.is(session!.money, 'C')
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, d date, s timestamptz, b bytea, f float8, i interval, r regclass)')
  const capture = await createCapture(db, [table])
  await db.sql(`INSERT INTO t VALUES (1, '2024-02-29', '2024-02-29 12:00:00.123456-03:30', '\\x00ff', 0.1::float8 + 0.2,
    '-1 year 2 days -3.5 seconds', 'public.t')`)
  assert.equal(await read(capture, 1), [
    [
      insert(
        ...['1', '2024-02-29', '2024-02-29 15:30:00.123456+00', '\\x00ff'],
        ...['0.30000000000000004', 'P-1Y2DT-3.5S', table],
      ),
    ],
  ])
})

test('the stream of an idle database sends a heartbeat', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY)')
  const capture = await createCapture(db, [table])
  const { stream, events } = await recordStream(db, capture)
  const stopping = new AbortController()
  const { signal } = stopping
  const prefix = 'heartbeat of this test'
  const tasks = [heartbeat({ prefix, everyMs: 50 })]
  const beating = runPeriodically({ url: db.url, tasks, log: quietLog(), signal })
  const beats = () => events.filter(event => event.kind === 'message' && event.prefix === prefix)
  await until(() => beats().length >= 3, { what: 'three heartbeats' })
  stopping.abort()
  await beating
  const last = beats().at(-1)
  assert.ok(last?.kind === 'message' && !last.transactional)
  stream.acknowledge(last.lsn)
  await stream.close()
})

test('another decoder reads the same changes from the same log', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, v text, n int)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
  const ours = await createCapture(db, [table])
  const theirs = await createCapture(db, [table])
  const random = new Random(testSeed(), 'two decoders')
  const key = () => random.integer(1, 20)
  const word = () => random.pick(["'a'", 'NULL', "''", "'ä€😀'", "repeat('x', 10000)"])
  const statement = () =>
    random.pick([
      () => `INSERT INTO public.t VALUES (${key()}, ${word()}, ${key()})`,
      () => `UPDATE public.t SET n = n + 1 WHERE id < ${key()}`,
      () => `UPDATE public.t SET id = id + 20, v = ${word()} WHERE id = ${key()}`,
      () => `DELETE FROM public.t WHERE id > ${key() + 10}`,
      () => 'TRUNCATE public.t',
    ])()
  for (let count = 0; count < 100; count++) await runTransaction(db.client, random, statement)
  await db.sql("INSERT INTO public.t VALUES (1000, 'last', 1)")
  const { stream, transactions } = await recordStream(db, ours)
  const last = insert('1000', 'last', '1')
  await until(() => transactions.some(each => isDeepStrictEqual(changesOf(each), [last])), {
    what: 'the last row',
  })
  await stream.close()
  assert.equal(await readWithLibrary(db, theirs, transactions.length), transactions.map(changesOf))
})

test.run()
