// test/service/postgres-snapshot: the initial load and the stream together equal the table.

import { setImmediate as turn } from 'node:timers/promises'
import { readTables } from '../../postgres/catalog/catalog.ts'
import { query } from '../../postgres/client/client.ts'
import { preflight } from '../../postgres/preflight/preflight.ts'
import { createSlot, dropSlot, exportSnapshot } from '../../postgres/replication/slot.ts'
import { copyTables, type SnapshotOptions } from '../../postgres/replication/snapshot.ts'
import { planSnapshot } from '../../postgres/replication/snapshot-plan.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { createDatabase, type TestDatabase, uniqueName } from '../support/servers/postgres.ts'
import { valuesOf } from '../support/servers/recording-handler.ts'
import { type Services, startServices } from '../support/servers/services.ts'
import { createCapture, recordStream } from '../support/servers/stream.ts'

const test = suite('postgres snapshot')
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

type Row = readonly (string | null | undefined)[]

/** Rows of each table by name, at the snapshot. */
async function load(snapshotName: string, overrides: Partial<SnapshotOptions> = {}): Promise<Record<string, Row[]>> {
  const found = await readTables(db.client, ({ schema }) => schema === 'public')
  const tables = found.map(table => ({ ...table, columns: table.columns.map(({ name }) => name) }))
  const rows: Record<string, Row[]> = {}
  const done: string[] = []
  await copyTables({
    ...{ url: db.url, snapshotName, tables, readers: 3, signal: new AbortController().signal },
    onRow: (table, row) => {
      rows[tables[table]!.name] ??= []
      rows[tables[table]!.name]!.push(valuesOf(row))
    },
    pressure: () => undefined,
    onTableDone: table => done.push(tables[table]!.name),
    ...overrides,
  })
  assert.equal(done.sort(), tables.map(({ name }) => name).sort())
  return rows
}

test('the snapshot and the stream add up to the table while other sessions write', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, v int)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
  const { slot, publication } = await createCapture(db, ['public.t'])
  await dropSlot(db.client, slot)
  const stopping = new AbortController()
  let commits = 0
  const write = async (seed: number) => {
    const client = await db.connect()
    for (let step = seed; !stopping.signal.aborted; step += 7) {
      await client.query('INSERT INTO t (v) SELECT $1 + g FROM generate_series(1, 3) g', [step])
      await client.query('UPDATE t SET v = v + 1 WHERE id % 11 = $1 % 11', [step])
      await client.query('DELETE FROM t WHERE id % 29 = $1 % 29', [step])
      commits += 3
    }
  }
  const writers = [write(1), write(2), write(3)]
  await until(() => commits > 100, { what: 'rows to copy' })
  const created = await createSlot(db.url, slot)
  const state = new Map((await load(created.snapshotName)).t?.map(([id, v]) => [id, v]))
  await created.release()
  const before = commits
  await until(() => commits > before + 100, { what: 'rows to stream' })
  stopping.abort()
  await Promise.all(writers)
  const { stream, events, keptAlive } = await recordStream(db, { slot, publication })
  const [{ lsn } = { lsn: 0 }] = await db.sql<{ lsn: number }>(`SELECT (pg_current_wal_lsn() - '0/0')::float8 AS lsn`)
  await until(() => keptAlive() >= lsn, { what: 'the end of the stream' })
  await stream.close()
  for (const event of events) {
    if (event.kind === 'begin') assert.ok(event.commitLsn >= created.consistentPoint)
    if (event.kind === 'insert') {
      assert.not.ok(state.has(event.after[0]), `row ${event.after[0]} came twice`)
      state.set(event.after[0], event.after[1])
    }
    if (event.kind === 'update') {
      assert.is(state.get(event.before![0]), event.before![1])
      state.set(event.after[0], event.after[1])
    }
    if (event.kind === 'delete') assert.ok(state.delete(event.before[0]), `row ${event.before[0]} was not there`)
  }
  const rows = await db.sql<{ id: string; v: string }>('SELECT id::text, v::text FROM t ORDER BY t.id')
  const sorted = [...state].sort(([a], [b]) => Number(a) - Number(b))
  assert.equal(
    sorted,
    rows.map(({ id, v }) => [id, v]),
  )
})

test('a large table is read in ranges of blocks, each exactly once', async () => {
  await db.sql('CREATE TABLE big (id int PRIMARY KEY, pad text STORAGE PLAIN)')
  await db.sql(`INSERT INTO big SELECT g, repeat('x', 3900) FROM generate_series(1, 40000) g`)
  await db.sql('DELETE FROM big WHERE id % 3 = 0')
  const slot = await exportSnapshot(db.url, uniqueName('slot'))
  await db.sql(`INSERT INTO big SELECT g, 'later' FROM generate_series(50000, 51000) g`)
  const { big = [] } = await load(slot.snapshotName)
  await slot.release()
  const ids = big.map(([id]) => Number(id)).sort((a, b) => a - b)
  assert.equal(
    ids,
    Array.from({ length: 40_000 }, (_, index) => index + 1).filter(id => id % 3 !== 0),
  )
  const [table] = await readTables(db.client, () => true)
  await query(db.client, 'BEGIN')
  const pieces = await planSnapshot(db.client, { url: db.url, tables: [{ ...table!, columns: ['id'] }], readers: 3 })
  assert.equal(
    pieces.map(({ statement }) => statement.replace(/.* FROM /, '')),
    [
      `ONLY "public"."big" WHERE ctid >= '(0,0)' AND ctid < '(8192,0)') TO STDOUT`,
      `ONLY "public"."big" WHERE ctid >= '(8192,0)' AND ctid < '(16384,0)') TO STDOUT`,
      `ONLY "public"."big" WHERE ctid >= '(16384,0)') TO STDOUT`,
    ],
  )
})

test('a load that waits for a lock names its owner, and continues when the lock is released', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY)')
  const slot = await exportSnapshot(db.url, uniqueName('slot'))
  const holder = await db.connect()
  await holder.query('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE')
  const blocking: (number | undefined)[] = []
  const loading = load(slot.snapshotName, { onBlocked: by => void blocking.push(by?.pid) })
  await until(() => blocking.length > 0, { what: 'the name of the session that it waits for' })
  const [{ pid } = { pid: 0 }] = (await holder.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows
  await holder.query('COMMIT')
  await loading
  assert.equal([blocking[0], blocking.at(-1)], [pid, undefined])
  await slot.release()
})

test('special values, odd names, generated columns and partitions are loaded exactly', async () => {
  await db.sql(
    `CREATE TABLE "a""b\\ 💥" ("x y" int PRIMARY KEY, "select" text, twice int GENERATED ALWAYS AS ("x y" * 2) STORED)`,
  )
  const text = 'tab\there\\N back\\\\slash\nline\r\b\f\v \\.'
  await db.sql(`INSERT INTO "a""b\\ 💥" VALUES (1, $1), (2, NULL), (3, ''), (4, '\\N')`, [text])
  await db.sql('CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)')
  await db.sql('CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (10)')
  await db.sql('CREATE TABLE high (v text, id int NOT NULL)')
  await db.sql('ALTER TABLE p ATTACH PARTITION high FOR VALUES FROM (10) TO (20)')
  await db.sql("INSERT INTO p VALUES (1, 'a'), (11, 'b')")
  await db.sql('CREATE TABLE empty (id int PRIMARY KEY)')
  const slot = await exportSnapshot(db.url, uniqueName('slot'))
  const rows = await load(slot.snapshotName)
  await slot.release()
  assert.equal(rows, {
    'a"b\\ 💥': [
      ['1', text, '2'],
      ['2', null, '4'],
      ['3', '', '6'],
      ['4', '\\N', '8'],
    ],
    p: [
      ['1', 'a'],
      ['11', 'b'],
    ],
  })
})

test('the load pauses reading under back-pressure', async () => {
  await db.sql(`CREATE TABLE t AS SELECT g AS id, repeat('x', 500) AS v FROM generate_series(1, 40000) g`)
  const slot = await exportSnapshot(db.url, uniqueName('slot'))
  let rows = 0
  let rest = 0
  let most = 0
  const pressure = () => {
    most = Math.max(most, rest)
    rest = 0
    return turn()
  }
  const onRow = () => {
    rows += 1
    rest += 1
  }
  await load(slot.snapshotName, { pressure, onRow, readers: 1 })
  await slot.release()
  assert.is(rows, 40_000)
  assert.ok(most < 500, `${most} rows came without a question`)
})

test('an error of the reader, of the back-pressure or of the signal ends the load with that error', async () => {
  await db.sql('CREATE TABLE t AS SELECT generate_series(1, 100000) AS id')
  const slot = await exportSnapshot(db.url, uniqueName('slot'))
  const failing = () => {
    throw new RangeError('cannot take it')
  }
  await assert.rejects(() => load(slot.snapshotName, { onRow: failing }), /cannot take it/)
  const pressure = () => Promise.reject(new RangeError('cannot wait'))
  await assert.rejects(() => load(slot.snapshotName, { pressure }), /cannot wait/)
  const stopping = new AbortController()
  const abort = () => stopping.abort(new RangeError('stop it'))
  await assert.rejects(() => load(slot.snapshotName, { onRow: abort, signal: stopping.signal }), /stop it/)
  await slot.release()
})

test('a table or partition that was truncated or rewritten after the snapshot is detected', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, v int)')
  await db.sql('CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)')
  await db.sql('CREATE TABLE part PARTITION OF p FOR VALUES FROM (0) TO (10)')
  await db.sql('INSERT INTO t VALUES (1)')
  for (const change of ['ALTER TABLE t ALTER v TYPE bigint', 'TRUNCATE part']) {
    const slot = await exportSnapshot(db.url, uniqueName('slot'))
    await db.sql(change)
    const error = await assert.refuses(() => load(slot.snapshotName), 'SNAPSHOT_LOST', /rewritten or truncated/)
    assert.ok(error.retriable)
    await slot.release()
  }
})

test('the load does not wait for a TRUNCATE that waits for the load', async () => {
  for (const [name, rows] of Object.entries({ a: 60_000, b: 20_000, c: 10 })) {
    await db.sql(`CREATE TABLE ${name} AS SELECT g AS id, repeat('x', 200) AS v FROM generate_series(1, ${rows}) g`)
  }
  const slot = await exportSnapshot(db.url, uniqueName('slot'))
  const other = await db.connect()
  let truncating: Promise<unknown> | undefined
  let isWaiting: Promise<unknown> | undefined
  const blocked = `SELECT FROM pg_locks WHERE NOT granted AND relation = 'public.c'::regclass`
  // Both readers have a table when this is called first. The reader that finishes first gets the
  // third table.
  const pressure = async () => {
    truncating ??= other.query('TRUNCATE public.c')
    isWaiting ??= until(async () => (await db.sql(blocked)).length === 1, { what: 'a TRUNCATE that waits' })
    await isWaiting
  }
  const { a, b, c } = await load(slot.snapshotName, { pressure, readers: 2 })
  assert.equal([a?.length, b?.length, c?.length], [60_000, 20_000, 10])
  await truncating
  await slot.release()
})

test('a released snapshot is detected', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY)')
  const slot = await exportSnapshot(db.url, uniqueName('slot'))
  await slot.release()
  await assert.refuses(() => load(slot.snapshotName), 'SNAPSHOT_LOST', /is gone/)
})

test('a lock table that is too small for a load is named beforehand, and by the load itself', async () => {
  const setting = async (statement: string) => {
    await db.sql(`ALTER SYSTEM ${statement}`)
    await services.kill('postgres')
    await services.restart()
  }
  await setting('SET max_locks_per_transaction = 10')
  try {
    await db.drop()
    db = await createDatabase(services.endpoints.postgres!)
    const unique = Array.from({ length: 19 }, (_, index) => `u${index} int UNIQUE`).join(', ')
    for (let index = 0; index < 48; index++) await db.sql(`CREATE TABLE t${index} (id int PRIMARY KEY, ${unique})`)
    const tables = await readTables(db.client, ({ schema }) => schema === 'public')
    const checks = await preflight({ client: db.client, tables, leftOut: [], slot: 'no_slot', publication: undefined })
    const { state, found, fix } = checks.find(({ name }) => name === 'locks')!
    assert.equal([state, found], ['fail', '1008 locks needed, and the server has room for 1000'])
    assert.is(fix, 'raise max_locks_per_transaction to 21 and restart Postgres')
    // One transaction that takes as many locks as a load.
    const locking = `DO $$ BEGIN FOR i IN 1..20000 LOOP EXECUTE format('CREATE TABLE public.x%s ()', i); END LOOP; END $$`
    const full = await assert.refuses(() => query(db.client, locking), 'POSTGRES_FAILED', /lock table is full/)
    assert.match(full.next, /raise max_locks_per_transaction/)
  } finally {
    await setting('RESET max_locks_per_transaction')
  }
})

test.run()
