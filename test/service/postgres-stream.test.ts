// test/service/postgres-stream: no acknowledged change is needed again, and no other change is
// skipped.

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { formatLsn } from '../../contract/position.ts'
import { slotState } from '../../postgres/replication/slot.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { createDatabase, type TestDatabase } from '../support/servers/postgres.ts'
import { type Services, startServices } from '../support/servers/services.ts'
import { createCapture, recordStream, type Transaction } from '../support/servers/stream.ts'

const test = suite('postgres stream')
let services: Services
let db: TestDatabase

test.before(async () => {
  services = await startServices(['postgres'])
})
test.before.each(async () => {
  db = await createDatabase(services.endpoints.postgres!)
  await db.sql('CREATE TABLE t (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, v text)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
})
test.after.each(() => db.drop())
test.after(() => services.stop())

/** Ids of inserted rows. */
function idsOf(transactions: readonly Transaction[]): (string | null | undefined)[] {
  return transactions.flatMap(({ changes }) =>
    changes.flatMap(change => (change.kind === 'insert' ? [change.after[0]] : [])),
  )
}

/**
 * Commits of several connections at once, each of one row, until two commits are adjacent in the
 * WAL.
 */
async function commitConcurrently(writers: number, each: number): Promise<number> {
  const clients = await Promise.all(Array.from({ length: writers }, () => db.connect()))
  const write = async (client: (typeof clients)[number]) => {
    for (let left = each; left > 0; left--) await client.query("INSERT INTO t (v) VALUES ('x')")
  }
  await Promise.all(clients.map(write))
  return writers * each
}

test('an acknowledgement between two adjacent commits loses neither and repeats none', async () => {
  const capture = await createCapture(db, ['public.t'])
  let total = 0
  let adjacent = -1
  while (adjacent < 0) {
    total += await commitConcurrently(8, 100)
    const { stream, received } = await recordStream(db, capture)
    const all = await received(total)
    adjacent = all.findIndex(({ endLsn }, index) => endLsn === all[index + 1]?.commitLsn)
    if (adjacent >= 0) stream.acknowledge(all[adjacent]!.endLsn)
    await stream.close()
    if (adjacent < 0) continue
    const state = await slotState(db.client, capture.slot)
    assert.is(formatLsn(state!.confirmedFlushLsn!), formatLsn(all[adjacent]!.endLsn))
    const again = await recordStream(db, capture)
    assert.equal(idsOf(await again.received(total - adjacent - 1)), idsOf(all.slice(adjacent + 1)))
    await again.stream.close()
  }
})

test('changes that were received but not acknowledged are sent again on every new stream', async () => {
  const capture = await createCapture(db, ['public.t'])
  await db.sql("INSERT INTO t (v) VALUES ('a')")
  await db.sql("INSERT INTO t (v) VALUES ('b')")
  for (let run = 0; run < 2; run++) {
    const { stream, received } = await recordStream(db, capture)
    assert.equal(idsOf(await received(2)), ['1', '2'])
    await stream.close()
  }
})

test('keepalive pings acknowledge nothing', async () => {
  await db.sql(`ALTER DATABASE ${db.name} SET wal_sender_timeout = '600ms'`)
  const capture = await createCapture(db, ['public.t'])
  const before = await slotState(db.client, capture.slot)
  const { stream, received } = await recordStream(db, capture)
  await db.sql("INSERT INTO t (v) VALUES ('a')")
  await received(1)
  const pings = async () => {
    const [row] = await db.sql<{ replies: boolean }>(
      `SELECT reply_time > backend_start + interval '2 s' AS replies FROM pg_stat_replication
       WHERE pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = '${capture.slot}')`,
    )
    return row?.replies === true
  }
  await until(pings, { what: 'several pings at the server' })
  await stream.close()
  const after = await slotState(db.client, capture.slot)
  assert.is(after!.confirmedFlushLsn, before!.confirmedFlushLsn)
  const again = await recordStream(db, capture)
  assert.equal(idsOf(await again.received(1)), ['1'])
  await again.stream.close()
})

test('a stream that is paused beyond wal_sender_timeout stays connected and continues', async () => {
  await db.sql(`ALTER DATABASE ${db.name} SET wal_sender_timeout = '600ms'`)
  const capture = await createCapture(db, ['public.t'])
  const { stream, received, events } = await recordStream(db, capture)
  stream.pause()
  await db.sql("INSERT INTO t (v) SELECT repeat('x', 200) FROM generate_series(1, 100000)")
  const started = performance.now()
  await until(() => performance.now() - started > 2_500, { what: 'more time than the server allows' })
  const arrived = events.length
  assert.ok(arrived < 5_000, `${arrived} events arrived although paused`)
  stream.resume()
  const [transaction] = await received(1)
  assert.is(transaction!.changes.filter(change => change.kind === 'insert').length, 100_000)
  await stream.close()
  await stream.ended
})

test('keepalives of an idle database are acknowledged exactly and without loss', async () => {
  const capture = await createCapture(db, ['public.t'])
  const recorded = await recordStream(db, capture)
  await db.sql('CREATE TABLE unpublished AS SELECT generate_series(1, 1000)')
  const [{ lsn } = { lsn: '' }] = await db.sql<{ lsn: string }>('SELECT pg_current_wal_lsn() AS lsn')
  await until(() => formatLsn(recorded.keptAlive()) >= lsn, { what: 'a keepalive with the end of the WAL' })
  recorded.stream.acknowledge(recorded.keptAlive())
  const confirmed = async () => (await slotState(db.client, capture.slot))!.confirmedFlushLsn === recorded.keptAlive()
  await until(confirmed, { what: 'the slot at that LSN' })
  await db.sql("INSERT INTO t (v) VALUES ('a')")
  assert.equal(idsOf(await recorded.received(1)), ['1'])
  await recorded.stream.close()
})

test('an error of the handler ends the stream: no further event is delivered, nothing is acknowledged', async () => {
  const capture = await createCapture(db, ['public.t'])
  const before = await slotState(db.client, capture.slot)
  let rows = 0
  const { stream } = await recordStream(db, capture, {
    on: {
      insert() {
        rows += 1
        throw new RangeError('cannot take it')
      },
    },
  })
  await db.sql("INSERT INTO t (v) VALUES ('a'), ('b')")
  const error = await assert.rejects(() => stream.ended, /cannot take it/)
  assert.instance(error, RangeError)
  assert.is(rows, 1)
  stream.acknowledge(before!.confirmedFlushLsn! + 1)
  await stream.close()
  assert.is((await slotState(db.client, capture.slot))!.confirmedFlushLsn, before!.confirmedFlushLsn)
})

test('an acknowledgement beyond what was received is refused', async () => {
  const { stream } = await recordStream(db, await createCapture(db, ['public.t']))
  await assert.refuses(() => stream.acknowledge(Number.MAX_SAFE_INTEGER), 'INTERNAL')
  await stream.close()
})

test('a connection that the server ends is reported once, as an error to retry', async () => {
  const capture = await createCapture(db, ['public.t'])
  const { stream } = await recordStream(db, capture)
  await db.sql(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${capture.slot}'`)
  const error = await assert.refuses(() => stream.ended, 'POSTGRES_UNREACHABLE')
  assert.ok(error.retriable)
})

test('a silent server is detected although its connection stays open', async () => {
  await db.sql(`ALTER DATABASE ${db.name} SET wal_sender_timeout = '600ms'`)
  const capture = await createCapture(db, ['public.t'])
  const { stream } = await recordStream(db, capture)
  const [{ pid } = { pid: 0 }] = await db.sql<{ pid: number }>(
    `SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = '${capture.slot}'`,
  )
  process.kill(pid, 'SIGSTOP')
  try {
    await assert.refuses(() => stream.ended, 'POSTGRES_UNREACHABLE', /no answer/)
  } finally {
    process.kill(pid, 'SIGCONT')
  }
})

test('the signal ends the opening of a stream on a silent server', async () => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const opening = new AbortController()
  silent.once('connection', () => opening.abort(new RangeError('no longer wanted')))
  const overrides = { url: `postgres://u@127.0.0.1:${port}/db`, signal: opening.signal }
  await assert.rejects(() => recordStream(db, { slot: 's', publication: 'p' }, overrides), /no longer wanted/)
  silent.close()
  await once(silent, 'close')
})

test('a slot that another connection reads is an error to retry', async () => {
  const capture = await createCapture(db, ['public.t'])
  const { stream } = await recordStream(db, capture)
  const error = await assert.refuses(() => recordStream(db, capture), 'SLOT_ACTIVE')
  assert.ok(error.retriable)
  await stream.close()
  const second = await recordStream(db, capture)
  await second.stream.close()
})

test('missing or unusable slots and publications stop the stream with a remedy', async () => {
  const capture = await createCapture(db, ['public.t'])
  await assert.refuses(() => recordStream(db, { ...capture, slot: 'no_such_slot' }), 'SLOT_LOST', /no such/)
  await assert.refuses(() => recordStream(db, { ...capture, publication: 'none' }), 'PUBLICATION_MISSING')
  const other = await createDatabase(services.endpoints.postgres!)
  await assert.refuses(() => recordStream(other, capture), 'SLOT_LOST', /in the database/)
  await other.drop()
  await db.sql('SELECT pg_create_logical_replication_slot($1, $2)', [`${capture.slot}_x`, 'test_decoding'])
  await assert.refuses(() => recordStream(db, { ...capture, slot: `${capture.slot}_x` }), 'SLOT_LOST', /test_decoding/)
})

test('a publication that was dropped, or created after the changes, stops the stream by name', async () => {
  const capture = await createCapture(db, ['public.t'])
  await db.sql(`DROP PUBLICATION ${capture.publication}`)
  await db.sql("INSERT INTO t (v) VALUES ('a')")
  await db.sql(`CREATE PUBLICATION ${capture.publication} FOR TABLE t`)
  await assert.refuses(async () => (await recordStream(db, capture)).stream.ended, 'PUBLICATION_MISSING')
})

test('a slot that Postgres has invalidated stops the stream with the reason', async () => {
  const capture = await createCapture(db, ['public.t'])
  await db.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
  await db.sql('SELECT pg_reload_conf()')
  const lost = async () => {
    await db.sql("INSERT INTO t (v) SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    await db.sql('SELECT pg_switch_wal()')
    await db.sql('CHECKPOINT')
    return (await slotState(db.client, capture.slot))?.walStatus === 'lost'
  }
  await until(lost, { what: 'the loss of the slot' })
  await db.sql('ALTER SYSTEM RESET max_slot_wal_keep_size')
  await db.sql('SELECT pg_reload_conf()')
  await assert.refuses(() => recordStream(db, capture), 'SLOT_LOST', /invalidated/)
})

test.run()
