// test/service/postgres-history: a stream continues only on a source with the captured history, and
// on a slot that skips no change.

import { formatLsn } from '../../contract/position.ts'
import type { ChangeStream } from '../../postgres/change-source.ts'
import { connect, withClient } from '../../postgres/client/client.ts'
import { type Captured, identifySystem } from '../../postgres/replication/history.ts'
import { slotState } from '../../postgres/replication/slot.ts'
import { watchStream } from '../../postgres/replication/stream-watch.ts'
import type { MillraceError } from '../../runtime/errors.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createDatabase, type TestDatabase } from '../support/servers/postgres.ts'
import { quietLog, type Services, startServices } from '../support/servers/services.ts'
import { copyFiles, Standby } from '../support/servers/standby.ts'
import { type Capture, createCapture, recordStream } from '../support/servers/stream.ts'

const test = suite('postgres history')
let services: Services
let db: TestDatabase
let capture: Capture

test.before(async () => {
  services = await startServices(['postgres'])
})
test.before.each(async () => {
  db = await createDatabase(services.endpoints.postgres!)
  await db.sql('CREATE TABLE t (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, v text)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
  capture = await createCapture(db, ['public.t'])
})
test.after(() => services.stop())

/** The changes that the slot still has. */
async function now(url = db.url): Promise<Captured> {
  const client = await connect(url, { mode: 'replication' })
  const { walEnd, ...server } = await identifySystem(client).finally(() => client.end())
  return { ...server, durable: walEnd, recorded: 'topic x', end: walEnd }
}

/** The reason for leaving the stream, as seen through this address; "not" without a reason. */
async function left(stream: ChangeStream, url: string): Promise<string> {
  let why = 'not'
  const fail = ({ message }: MillraceError) => {
    why = message
  }
  const watch = watchStream({ slot: capture.slot, ...stream.start }, { log: quietLog(), fail })
  await withClient(url, client => watch.run(client))
  return why
}

const insert = () => db.sql("INSERT INTO t (v) VALUES ('x')")

test('a slot that was advanced or created again is detected by the changes that it skips', async () => {
  const captured = await now()
  await (await recordStream(db, capture, { captured })).stream.close()
  await insert()
  await db.sql('SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())', [capture.slot])
  const lost = async () => {
    const { confirmedFlushLsn } = (await slotState(db.client, capture.slot))!
    return new RegExp(`slot is at ${formatLsn(confirmedFlushLsn!)}.* between ${formatLsn(captured.durable)} and`)
  }
  await assert.refuses(() => recordStream(db, capture, { captured }), 'SLOT_LOST', await lost())
  await db.sql('SELECT pg_drop_replication_slot($1)', [capture.slot])
  const gone = new RegExp(`no such logical slot; changes committed from ${formatLsn(captured.durable)} on`)
  await assert.refuses(() => recordStream(db, capture, { captured }), 'SLOT_LOST', gone)
  await insert()
  await db.sql('SELECT pg_create_logical_replication_slot($1, $2)', [capture.slot, 'pgoutput'])
  await assert.refuses(() => recordStream(db, capture, { captured }), 'SLOT_LOST', await lost())
  await db.drop()
})

test('another server, another database and a WAL that ends too early are refused', async () => {
  const captured = await now()
  const other = await createDatabase(services.endpoints.postgres!)
  await assert.refuses(() => recordStream(other, capture, { captured }), 'GENERATION_CHANGED', /this database is/)
  await other.drop()
  const elsewhere = { ...captured, source: captured.source.replace(/\d/, digit => String(9 - Number(digit))) }
  await assert.refuses(() => recordStream(db, capture, { captured: elsewhere }), 'GENERATION_CHANGED')
  const end = (await now()).end + 1_000_000
  const back = /went back by \d+ bytes: everything before .* was captured from it, and its WAL ends at/
  await assert.refuses(() => recordStream(db, capture, { captured: { ...captured, end } }), 'SOURCE_WENT_BACK', back)
  await db.drop()
})

test('a promoted standby is accepted when it has all captured changes, and refused otherwise', async () => {
  const [{ data_directory: data } = { data_directory: '' }] = await db.sql<{ data_directory: string }>(
    'SHOW data_directory',
  )
  await services.kill('postgres')
  await copyFiles(data, `${data}.standby`)
  await services.restart()
  const running = await recordStream(db, capture, { captured: await now() })
  const standby = await Standby.start(`${data}.standby`, services.endpoints.postgres!)
  try {
    await withClient(db.url, client => client.query("INSERT INTO public.t (v) VALUES ('replicated')"))
    const replicated = await now()
    await standby.caughtUp(formatLsn(replicated.end))
    assert.is(await left(running.stream, db.url), 'not')
    assert.match(await left(running.stream, standby.urlOf(db.name)), /is a standby now/)
    const early = () => recordStream(db, capture, { url: standby.urlOf(db.name), captured: replicated })
    assert.ok((await assert.refuses(early, 'POSTGRES_READ_ONLY', /is a standby/)).retriable)
    await standby.promote()
    assert.match(
      await left(running.stream, standby.urlOf(db.name)),
      /on timeline 2, and the stream began on timeline 1/,
    )
    await running.stream.close()
    assert.match(await left(running.stream, db.url), /the slot is read by nobody/)
    const other = await recordStream(db, capture)
    assert.match(await left(running.stream, db.url), /another process, pid \d+/)
    await other.stream.close()
    await withClient(db.url, client => client.query("INSERT INTO public.t (v) VALUES ('lost')"))
    const tooFar = await now()
    const url = standby.urlOf(db.name)
    await withClient(url, client => client.query("INSERT INTO public.t (v) VALUES ('new')"))

    const { stream, received } = await recordStream(db, capture, { url, captured: replicated })
    const changes = (await received(2)).flatMap(transaction => transaction.changes)
    assert.equal(
      changes.flatMap(change => (change.kind === 'insert' ? [change.after[1]] : [])),
      ['replicated', 'new'],
    )
    await stream.close()
    assert.is(stream.start.timeline, 2)

    const wentBack =
      /went back by \d+ bytes: everything before .* was captured from it, and timeline 2 left timeline 1 at/
    await assert.refuses(() => recordStream(db, capture, { url, captured: tooFar }), 'SOURCE_WENT_BACK', wentBack)
    const promoted = await now(url)
    const foreign = /captured on timeline 2, which is no part of the history of this server's timeline 1/
    await assert.refuses(() => recordStream(db, capture, { captured: promoted }), 'SOURCE_WENT_BACK', foreign)
  } finally {
    await standby.stop()
  }
})

test.run()
