// test/long/producer-away: the producer while Postgres or Kafka is away or frozen, in cases that
// take minutes.

import { readState } from '../../stack/state.ts'
import { assertStopsAtOnce, createNotes, endStream, settlesWithin, untilPending } from '../support/faults/outage.ts'
import { startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { prepareCapture } from '../support/pipelines/capture-run.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('producer-away', { timeoutMs: 300_000 })
let services: Services
let proxy: TcpProxy
test.before(async () => {
  services = await startServices(['postgres', 'kafka'])
  proxy = await startTcpProxy(Number(new URL(services.endpoints.postgres!).port))
})
test.after.each(() => services.restart())
test.after(async () => {
  await proxy?.close()
  await services.stop()
})

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

for (const [where, sent] of [
  ['while it takes the lock', 'pg_try_advisory_lock'],
  ['while it looks at the source', 'pg_publication'],
  ['while it creates the slot', 'CREATE_REPLICATION_SLOT'],
  ['while it copies a table', 'COPY (SELECT'],
  ['while it opens the stream', 'START_REPLICATION'],
] as const) {
  test(`the producer leaves a host that freezes ${where}`, async () => {
    await using run = await prepareCapture(services, { setup: createNotes, port: proxy.port })
    await run.sql("INSERT INTO notes (text) SELECT repeat('x', 1000) FROM generate_series(1, 50000)")
    const frozen = proxy.freezeAt(sent)
    run.worker.start()
    await frozen
    await settlesWithin(run, 120_000)
    const { number } = (await run.generations()).find(({ state }) => state === 'live')!
    assert.is((await run.records(await run.table('notes', number), number)).length, 50_001)
  })
}

test('the producer stops while Kafka is frozen, whatever it does at that moment', async () => {
  await using run = await prepareCapture(services, { setup: createNotes })
  const { pid } = readState(services.directory).kafka!
  run.worker.start()
  await run.settle()
  process.kill(pid!, 'SIGSTOP')
  try {
    await endStream(run)
    await until(() => /capture was interrupted/.test(run.worker.log), { what: 'all is opened anew' })
    await assertStopsAtOnce(run)
    run.worker.start()
    const answers = async () => (await run.status()) !== undefined
    await until(answers, { what: 'it has started', timeoutMs: 30_000 })
    await assertStopsAtOnce(run)
  } finally {
    process.kill(pid!, 'SIGCONT')
  }
})

test('Postgres can shut down while Kafka is away and the producer is paused, and nothing is lost', async () => {
  await using run = await prepareCapture(services, { setup: createNotes })
  run.worker.start()
  await run.settle()
  await services.kill('kafka')
  await run.sql(`INSERT INTO notes (text) SELECT repeat('x', 1000) FROM generate_series(1, 30000)`)
  await untilPending(run, 16e6)
  const { pid } = readState(services.directory).postgres!
  process.kill(pid!, 'SIGINT')
  await until(() => !isRunning(pid!), { what: 'the fast shutdown is over', timeoutMs: 20_000 })
  await services.restart()
  await settlesWithin(run, 60_000)
  assert.is((await run.records(await run.table('notes'))).length, 30_001)
})

test.run()
