// test/long/failover: a running producer while the address of its source moves to a promoted
// standby.

import { parseLsn } from '../../contract/position.ts'
import { query, withClient } from '../../postgres/client/client.ts'
import { startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { applyRecords, type CaptureRun, checkOrder, prepareCapture } from '../support/pipelines/capture-run.ts'
import type { TextValues } from '../support/servers/decode.ts'
import { type Services, startServices } from '../support/servers/services.ts'
import { copyFiles, Standby } from '../support/servers/standby.ts'

const test = suite('failover', { timeoutMs: 240_000 })
let services: Services
/** The address that the producer connects to. */
let address: TcpProxy
/** The address through which the standby replicates. */
let link: TcpProxy

test.before(async () => {
  services = await startServices(['postgres', 'kafka'])
})
test.before.each(async () => {
  const primary = portOf(services.endpoints.postgres!)
  address = await startTcpProxy(primary)
  link = await startTcpProxy(primary)
})
test.after.each(async () => {
  await address.close()
  await link.close()
  await services.restart()
})
test.after(() => services?.stop())

const setup = `CREATE TABLE items (id int PRIMARY KEY, note text); ALTER TABLE items REPLICA IDENTITY FULL;
INSERT INTO public.items SELECT i, 'loaded' FROM generate_series(1, 100) i`

const portOf = (url: string) => Number(new URL(url).port)

const add = (first: number, note: string) =>
  `INSERT INTO public.items SELECT i, '${note}' FROM generate_series(${first}, ${first + 99}) i`

/**
 * A producer that streams from a primary, and the primary's standby with a copy of the slot, as
 * some failover managers keep it.
 */
async function startPair(): Promise<{ run: CaptureRun; standby: Standby }> {
  const run = await prepareCapture(services, { setup, port: address.port })
  run.worker.start()
  await run.settle()
  await run.worker.stop()
  const [row] = await run.sql('SHOW data_directory')
  const data = row!.data_directory!
  await services.kill('postgres')
  await copyFiles(data, `${data}.standby`)
  await services.restart()
  const standby = await Standby.start(`${data}.standby`, `postgres://127.0.0.1:${link.port}`)
  try {
    run.worker.start()
    await run.sql(add(1001, 'replicated'))
    await run.settle()
    await standby.caughtUp(await walEnd(run))
    return { run, standby }
  } catch (error) {
    await standby.stop()
    throw error
  }
}

async function walEnd(run: CaptureRun): Promise<string> {
  const [end] = await run.sql('SELECT pg_current_wal_insert_lsn()::text AS lsn')
  return end!.lsn!
}

/** Asserts that the topic has every change committed at this server once, and nothing else. */
async function assertEqual(run: CaptureRun, url: string, generation = 1): Promise<void> {
  const ask = (text: string) => withClient(url, client => query<TextValues>(client, text))
  const [end] = await ask('SELECT pg_current_wal_insert_lsn()::text AS lsn')
  const reached = async () => parseLsn((await run.status())?.durable ?? '0/0') >= parseLsn(end!.lsn!)
  await until(reached, { what: `everything before ${end!.lsn} is durable`, timeoutMs: 60_000 })
  const records = await run.records(await run.table('items', generation), generation)
  checkOrder(records)
  const rows = [...applyRecords(records).values()].sort((a, b) => Number(a.id) - Number(b.id))
  const wanted = await ask('SELECT id::text AS id, note FROM public.items ORDER BY items.id')
  assert.is(JSON.stringify(rows), JSON.stringify(wanted))
}

test('the producer waits until a standby with all changes is promoted, and continues with it', async () => {
  const { run, standby } = await startPair()
  await using _run = run
  try {
    // Heartbeats are changes too: the producer must not capture one that the standby lacks.
    run.worker.suspend()
    await standby.caughtUp(await walEnd(run))
    await services.kill('postgres')
    address.target = portOf(standby.url)
    run.worker.resume()
    await until(() => /POSTGRES_READ_ONLY.*is a standby/.test(run.worker.log), {
      what: 'the producer has met the standby',
      timeoutMs: 30_000,
    })
    await standby.promote()
    const url = standby.urlOf(run.database.name)
    await withClient(url, client => query(client, add(2001, 'promoted')))
    await assertEqual(run, url)
    assert.is(run.worker.end, undefined)
    assert.equal(
      (await run.generations()).map(({ number }) => number),
      [1],
    )
    await run.worker.stop()
  } finally {
    await standby.stop()
    await services.restart()
  }
})

test('the producer leaves within two minutes a primary that still runs beside the promoted standby', async () => {
  const { run, standby } = await startPair()
  await using _run = run
  try {
    await standby.promote()
    await run.sql(add(3001, 'lost'))
    await run.settle()
    address.target = portOf(standby.url)
    assert.equal(await run.worker.untilEnd(120_000), { code: 2, signal: null })
    assert.match(run.worker.log, /POSTGRES_UNREACHABLE.*on timeline 2, and the stream began on timeline 1/)
    assert.match(run.worker.tail(), /SOURCE_WENT_BACK: .* timeline 2 left timeline 1 at/)
  } finally {
    await standby.stop()
  }
})

test('a promoted standby without the last changes stops the producer by name, and can be loaded again', async () => {
  const { run, standby } = await startPair()
  await using _run = run
  try {
    await link.close()
    await run.sql(add(3001, 'lost'))
    await run.settle()
    const before = await run.records(await run.table('items'))
    await services.kill('postgres')
    await standby.promote()
    const url = standby.urlOf(run.database.name)
    // Other changes are at the LSNs of the missing ones.
    await withClient(url, client => query(client, add(4001, 'promoted')))
    address.target = portOf(standby.url)
    assert.equal(await run.worker.untilEnd(60_000), { code: 2, signal: null })
    assert.match(run.worker.tail(), /SOURCE_WENT_BACK: .* timeline 2 left timeline 1 at/)
    assert.match(run.worker.tail(), /next: .*millrace producer --new-generation/)
    assert.equal(await run.records(await run.table('items')), before)
    await using fresh = run.producer('--new-generation')
    fresh.start()
    const isLive = async () => (await run.generations()).some(({ number, state }) => number === 2 && state === 'live')
    await until(isLive, { what: 'a new generation', timeoutMs: 60_000 })
    await assertEqual(run, url, 2)
  } finally {
    await standby.stop()
    await services.restart()
  }
})

test.run()
