// test/e2e/producer-outage: the producer while Postgres or Kafka is away, and while it waits for
// another session.

import { assertStopsAtOnce, createNotes, endStream, settlesWithin, untilPending } from '../support/faults/outage.ts'
import { startTcpProxy } from '../support/faults/tcp-proxy.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { prepareCapture } from '../support/pipelines/capture-run.ts'
import { createDatabase } from '../support/servers/postgres.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('producer-outage', { timeoutMs: 120_000 })
let services: Services
test.before(async () => {
  services = await startServices(['postgres', 'kafka'])
})
test.after.each(() => services.restart())
test.after(() => services.stop())

test('the producer leaves a frozen host for the one that took over its address', async () => {
  const proxy = await startTcpProxy(Number(new URL(services.endpoints.postgres!).port))
  await using run = await prepareCapture(services, { setup: createNotes, port: proxy.port })
  await run.sql(`ALTER DATABASE ${run.database.name} SET wal_sender_timeout = '2s'`)
  run.worker.start()
  await run.settle()
  proxy.freeze()
  await settlesWithin(run, 15_000)
  await proxy.close()
})

test('the producer stops at once while Kafka is away, both with pending records and while it connects', async () => {
  await using run = await prepareCapture(services, { setup: createNotes })
  run.worker.start()
  await run.settle()
  await until(async () => (await run.health('readyz')).status === 200, { what: 'changes flow' })
  await services.kill('kafka')
  await run.sql("INSERT INTO notes (text) VALUES ('x')")
  await untilPending(run, 0)
  const stalled = /nothing has become durable in Kafka for \d+ s/
  await until(async () => stalled.test((await run.health('readyz')).why), {
    what: 'changes do not flow',
    timeoutMs: 30_000,
  })
  assert.is((await run.health('livez')).status, 200)
  await assertStopsAtOnce(run)

  await services.restart()
  run.worker.start()
  await run.settle()
  await services.kill('kafka')
  await endStream(run)
  await until(() => /could not create topic .*generations/.test(run.worker.log), { what: 'all is opened anew' })
  await assertStopsAtOnce(run)
})

test('a load that waits for an open transaction names its session, and continues when that transaction ends', async () => {
  await using run = await prepareCapture(services, { setup: createNotes })
  const elsewhere = await createDatabase(services.endpoints.postgres!)
  const holder = await elsewhere.connect()
  await holder.query('BEGIN; SELECT pg_current_xact_id()')
  run.worker.start()
  const expected =
    /waiting for another transaction to end doing="making the slot" open="transaction of pid \d+ \(database t_.*pg_terminate_backend/
  await until(() => expected.test(run.worker.log), { what: 'it says what it waits for', timeoutMs: 60_000 })
  const waiting = (await run.status())?.waitingFor ?? ''
  assert.match(waiting, /^making the slot waits for the transaction of pid \d+ \(database t_/)
  assert.not.match(waiting, /pg_current_xact_id/, 'statements hold values, and the status asks for no login')
  const ageless = (text: string) => text.replace(/open for \d+ s/, '')
  assert.is(ageless((await run.health('readyz')).why), ageless(waiting))
  await holder.query('ROLLBACK')
  await elsewhere.drop()
  await run.settle()
  assert.is((await run.status())?.waitingFor, undefined)
})

test.run()
