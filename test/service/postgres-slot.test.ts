// test/service/postgres-slot: a slot is created beside concurrent transactions, and the changes
// after it can be decoded.

import type pg from 'pg'
import { describeTransaction, findBlocking, type OpenTransaction } from '../../postgres/client/blocking.ts'
import { createSlot, dropSlot, exportSnapshot, findSlots, slotState } from '../../postgres/replication/slot.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { createDatabase, type TestDatabase, uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('postgres slot')
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

/** The temporary slots of a slot creation. */
const temporarySlots = () => findSlots(db.client, 'millrace_')

test('a slot is created, found, measured and dropped; a temporary one ends with its connection', async () => {
  const name = uniqueName('slot')
  const created = await createSlot(db.url, name)
  const temporary = await exportSnapshot(db.url, `${name}_t`)
  const found = await findSlots(db.client, name)
  assert.equal(
    found.map(slot => [slot.name, slot.active, slot.temporary]),
    [
      [name, false, false],
      [`${name}_t`, true, true],
    ],
  )
  const [slot] = found
  assert.is(slot!.confirmedFlushLsn, created.consistentPoint)
  assert.is(slot!.walStatus, 'reserved')
  assert.ok(slot!.heldBytes >= 0 && slot!.heldBytes < 100_000_000)
  await assert.refuses(() => createSlot(db.url, name), 'POSTGRES_FAILED', /already exists/)
  await assert.refuses(() => dropSlot(db.client, `${name}_t`), 'SLOT_ACTIVE')
  await temporary.release()
  await created.release()
  await until(async () => (await findSlots(db.client, name)).length === 1, { what: 'the end of the temporary slot' })
  await dropSlot(db.client, name)
  await dropSlot(db.client, name)
  assert.is(await slotState(db.client, name), undefined)
})

test('a transaction can be decoded that follows a TRUNCATE during the creation of the slot', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY)')
  await db.sql('CREATE PUBLICATION everything FOR TABLE t, other')
  const [first, truncating, last] = [await db.connect(), await db.connect(), await db.connect()]
  const name = uniqueName('slot')
  const pidOf = async (client: pg.Client) =>
    (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]!.pid
  /**
   * Waits until the slot waits for one of these clients. Postgres may wait for any of the
   * concurrent transactions first.
   */
  const waitsFor = async (...clients: pg.Client[]) => {
    const pids: (number | undefined)[] = await Promise.all(clients.map(pidOf))
    const isWaiting = async () =>
      pids.includes((await findBlocking(db.client, (await temporarySlots())[0]?.name ?? ''))?.pid)
    await until(isWaiting, { what: 'the session that the slot waits for' })
  }
  await first.query('BEGIN; INSERT INTO other VALUES (1)')
  const creating = createSlot(db.url, name)
  creating.catch(() => {})
  await waitsFor(first)
  await truncating.query('BEGIN; TRUNCATE t')
  await last.query('BEGIN; INSERT INTO other VALUES (2)')
  await first.query('COMMIT')
  await waitsFor(truncating, last)
  await truncating.query('COMMIT')
  await waitsFor(last)
  await first.query('BEGIN; INSERT INTO t VALUES (1)')
  await last.query('COMMIT')
  const isConsistent = async () => (await temporarySlots()).some(slot => slot.confirmedFlushLsn !== undefined)
  await until(isConsistent, { what: 'a consistent first slot' })
  await first.query('COMMIT')
  const created = await creating
  await db.sql('INSERT INTO t VALUES (2)')
  const reader = await db.connect()
  await reader.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '${created.snapshotName}'`)
  const loaded = (await reader.query('SELECT FROM t')).rows
  await reader.query('COMMIT')
  await created.release()
  const { rows: decoded } = await db.client.query<{ data: Buffer }>(
    "SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'everything')",
    [name],
  )
  const inserts = decoded.filter(({ data }) => String.fromCharCode(data[0]!) === 'I')
  assert.is(loaded.length + inserts.length, 2)
  assert.is((await slotState(db.client, name))?.confirmedFlushLsn, created.consistentPoint)
  await dropSlot(db.client, name)
})

test('a slot creation that waits for a transaction can be cancelled, and leaves no slot', async () => {
  const client = await db.connect()
  await client.query('BEGIN; CREATE TABLE t (id int)')
  const stopping = new AbortController()
  const name = uniqueName('slot')
  const blocking: (OpenTransaction | undefined)[] = []
  const creating = createSlot(db.url, name, { signal: stopping.signal, onBlocked: by => void blocking.push(by) })
  creating.catch(() => {})
  await until(async () => (await temporarySlots()).length > 0, { what: 'a temporary slot' })
  await until(() => blocking.length > 0, { what: 'the name of the session that it waits for' })
  const [{ pid } = { pid: 0 }] = (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows
  assert.is(blocking[0]!.pid, pid)
  assert.match(describeTransaction(blocking[0]!), /open for \d+ s, last statement: BEGIN; CREATE TABLE t \(id int\)\)/)
  stopping.abort(new RangeError('no longer wanted'))
  await assert.rejects(() => creating, /no longer wanted/)
  await until(async () => (await temporarySlots()).length === 0, { what: 'no slot' })
  assert.is(await slotState(db.client, name), undefined)
  await client.query('ROLLBACK')
})

test.run()
