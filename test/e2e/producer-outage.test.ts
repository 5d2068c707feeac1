// test/e2e/producer-outage: the producer while Postgres or Kafka is away, and while it waits for somebody else.
// May know: contract, stack, test/support.

import { prepareCapture } from '../support/capture-run.ts'
import { assertStopsAtOnce, createNotes, endStream, settlesWithin, untilPending } from '../support/outage.ts'
import { type Services, startServices } from '../support/services.ts'
import { suite, until } from '../support/suite.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'

const test = suite('producer-outage', { timeoutMs: 120_000 })
let services: Services
test.before(async () => {
  services = await startServices(['postgres', 'kafka'])
})
test.after.each(() => services.restart())
test.after(() => services.stop())

test('a host that has frozen is left for the one that has taken its place', async () => {
  const proxy = await startTcpProxy(Number(new URL(services.endpoints.postgres!).port))
  await using run = await prepareCapture(services, { setup: createNotes, port: proxy.port })
  await run.sql(`ALTER DATABASE ${run.database.name} SET wal_sender_timeout = '2s'`)
  run.worker.start()
  await run.settle()
  proxy.freeze()
  await settlesWithin(run, 15_000)
  await proxy.close()
})

test('a producer that is asked to stop while Kafka is away obeys at once, with records pending and while it opens', async () => {
  await using run = await prepareCapture(services, { setup: createNotes })
  run.worker.start()
  await run.settle()
  await services.kill('kafka')
  await run.sql("INSERT INTO notes (text) VALUES ('x')")
  await untilPending(run, 0)
  await assertStopsAtOnce(run)

  await services.restart()
  run.worker.start()
  await run.settle()
  await services.kill('kafka')
  await endStream(run)
  await until(() => /could not create topic .*generations/.test(run.worker.log), { what: 'all is opened anew' })
  await assertStopsAtOnce(run)
})

test.run()
