// test/e2e/producer-start.test: a producer starts on a slot, topics, settings or a source that have
// changed since the last run.

import { rename, rm } from 'node:fs/promises'
import type { DeadLetter } from '../../contract/dead-letter.ts'
import { formatLsn } from '../../contract/position.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import {
  applyRecords,
  type CaptureOptions,
  type CaptureRun,
  prepareCapture,
  type TopicRow,
} from '../support/pipelines/capture-run.ts'
import { type Services, startServices } from '../support/servers/services.ts'
import { copyFiles } from '../support/servers/standby.ts'
import { remakeTopic } from '../support/servers/topic.ts'

const test = suite('producer-start', { timeoutMs: 180_000 })
let services: Services
test.before(async () => {
  services = await startServices(['postgres', 'kafka'])
})
test.after(() => services.stop())

const create = `CREATE TABLE items (id int PRIMARY KEY, size int, note text); ALTER TABLE items REPLICA IDENTITY FULL;
ALTER TABLE items ALTER note SET STORAGE EXTERNAL; INSERT INTO items SELECT i, i, 'loaded' FROM generate_series(1, 100) i`

async function recordsOf(run: CaptureRun, generation = 1): Promise<TopicRow[]> {
  return run.records(await run.table('items', generation), generation)
}

/** Starts the producer, waits until it ends by itself, and returns its output. */
async function refusedStart(run: CaptureRun): Promise<string> {
  run.worker.start()
  assert.equal(await run.worker.untilEnd(), { code: 2, signal: null })
  return run.worker.tail()
}

/**
 * Loads a generation beside generation 1, as every message here advises, and asserts that it equals
 * the source.
 */
async function assertLoadsAnew(run: CaptureRun): Promise<void> {
  await using fresh = run.producer('--new-generation')
  fresh.start()
  const isLive = async () => (await run.generations()).some(({ number, state }) => number === 2 && state === 'live')
  await until(isLive, { what: 'a new generation', timeoutMs: 60_000 })
  const rows = await run.sql('SELECT id::text, size::text, note FROM items ORDER BY items.id')
  const rowsOfTopic = [...applyRecords(await recordsOf(run, 2)).values()].sort((a, b) => Number(a.id) - Number(b.id))
  assert.equal(JSON.stringify(rowsOfTopic), JSON.stringify(rows))
}

/** A stopped producer that has captured the table. */
async function captured(options: Partial<CaptureOptions> = {}): Promise<CaptureRun> {
  const run = await prepareCapture(services, { setup: create, ...options })
  run.worker.start()
  await run.settle()
  await run.worker.stop()
  return run
}

test('a gap between slot and topics is named with both ends, and nothing after it is captured', async () => {
  await using run = await captured()
  const broker = services.endpoints.kafka!
  const [items, watermarks] = [`${run.name}.1.public.items`, `${run.name}.1.watermarks`]
  const lsn = formatLsn((await run.watermarks()).at(-1)!.lsn)
  const refused = async (what: RegExp, where: string) => {
    const before = await recordsOf(run)
    const text = await refusedStart(run)
    assert.match(text, what)
    assert.ok(text.includes(`where: ${where}`), text)
    assert.match(text, /next: .*millrace producer --new-generation/)
    assert.equal(await recordsOf(run), before)
  }
  await run.sql("INSERT INTO items VALUES (8000, 1, 'in the gap')")
  await run.sql(`SELECT pg_replication_slot_advance('${run.name}_1', pg_current_wal_lsn())`)
  await run.sql("INSERT INTO items VALUES (8001, 1, 'after the gap')")
  const slot = `slot ${run.name}_1, topic ${watermarks}`
  await refused(new RegExp(`SLOT_LOST: the slot is at .*committed between ${lsn} and`), slot)
  await remakeTopic(broker, items)
  const short = new RegExp(
    `OFFSETS_MISSING: .* at offset 0, and the watermark at LSN ${lsn} covers everything below \\d+`,
  )
  await refused(short, `topic ${items}, partition 0`)
  await remakeTopic(broker, watermarks)
  await refused(/SLOT_LOST: the slot is at .* or the last records of topic .*watermarks are lost/, slot)
})

test('the record size limit is fixed when a generation begins; a new generation takes the new limit', async () => {
  const tables = { 'public.items': { onError: 'dead-letter' } }
  const setup = `${create}; INSERT INTO items VALUES (9000, 1, repeat('x', 18960))`
  await using run = await captured({ setup, tables, kafka: { maxRecordBytes: 20_000 } })
  const [deadLetter] = (await run.deadLetters()).map(each => JSON.parse(each.toString()) as DeadLetter)
  assert.match(deadLetter!.next, /raise kafka.maxRecordBytes and start a new generation/)
  await run.configure({ tables, kafka: { maxRecordBytes: 100_000 } })
  await run.sql('DELETE FROM items WHERE id IN (9, 9000)')
  await run.sql("INSERT INTO items VALUES (9001, 1, repeat('x', 50000))")
  const changed = /GENERATION_CHANGED: kafka.maxRecordBytes was 20000 when it began and is 100000/
  assert.match(await refusedStart(run), changed)
  await assertLoadsAnew(run)
})

test('a source restored from a backup is detected, even when it has grown past the captured LSN, and can be loaded again', async () => {
  await using run = await captured()
  const [{ data_directory: data } = { data_directory: '' }] = await run.sql('SHOW data_directory')
  const copy = `${data}.copy`
  await services.kill('postgres')
  await copyFiles(data!, copy)
  await services.restart()
  await run.sql("INSERT INTO items SELECT i, i, 'before' FROM generate_series(101, 200) i")
  run.worker.start()
  await run.settle()
  await run.worker.stop()
  const before = await recordsOf(run)

  await services.kill('postgres')
  await rm(data!, { recursive: true })
  await rename(copy, data!)
  await services.restart()
  const back = /SOURCE_WENT_BACK: the source went back by \d+ bytes: everything before [\dA-F/]+ was captured/
  assert.match(await refusedStart(run), back)
  // Other rows are now at the LSNs of the lost ones.
  await run.sql("INSERT INTO items SELECT i, i, 'after' FROM generate_series(1001, 3000) i")
  const other = /SOURCE_WENT_BACK: the last record is of transaction \d+ of [\dTZ:.-]+ at LSN/
  assert.match(await refusedStart(run), other)
  assert.equal(await recordsOf(run), before)
  await assertLoadsAnew(run)
})

test.run()
