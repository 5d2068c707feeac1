// test/e2e/producer-changes: records of the topics after loads, changes and restarts, compared with
// the tables.

import type { DeadLetter } from '../../contract/dead-letter.ts'
import { type Generation, generationsTopic } from '../../contract/generation.ts'
import type { Column, Encoding, Table } from '../../contract/table.ts'
import { deleteTopics, listTopics } from '../../kafka/client/admin.ts'
import { writeGeneration } from '../../kafka/generations-topic.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { applyRecords, type CaptureRun, checkOrder, prepareCapture } from '../support/pipelines/capture-run.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'
import { readTopic } from '../support/servers/topic.ts'

const test = suite('producer-changes', { timeoutMs: 120_000 })
let services: Servers
test.before(async () => {
  services = await shareServers(['postgres', 'kafka'])
})
test.after(() => services.stop())

const column = (name: string, pgType: string, encoding: Encoding, more: Partial<Column> = {}): Column => ({
  name,
  pgType,
  encoding,
  nullable: false,
  ...more,
})

const items: Table = {
  schema: 'public',
  name: 'items',
  columns: [
    column('id', 'bigint', 'long'),
    column('order_id', 'bigint', 'long'),
    column('price', 'numeric(9,2)', 'decimal', { precision: 9, scale: 2, nullable: true }),
    column('note', 'text', 'string', { nullable: true }),
  ],
  key: ['id'],
  partitionKey: ['order_id'],
}

const createItems = `
CREATE TABLE items (id bigint PRIMARY KEY DEFERRABLE, order_id bigint NOT NULL, price numeric(9,2), note text);
ALTER TABLE items REPLICA IDENTITY FULL;
ALTER TABLE items ALTER note SET STORAGE EXTERNAL;
INSERT INTO items SELECT i, i / 3, i, 'n' || i FROM generate_series(1, 1000) i`

const byOrder = { 'public.items': { partitionKey: ['order_id'] } }

/** Asserts that the topic's records result in the table's rows, and that no position decreases. */
async function assertYieldsRows(run: CaptureRun, generation = 1): Promise<void> {
  const records = await run.records(items, generation)
  checkOrder(records)
  const rows = await run.sql('SELECT id::text, order_id::text, price::text, note FROM items ORDER BY items.id')
  const rowsOfTopic = [...applyRecords(records).values()].sort((a, b) => Number(a.id) - Number(b.id))
  assert.equal(JSON.stringify(rowsOfTopic), JSON.stringify(rows))
}

test('the records of a topic equal the table after the initial load, every kind of change and a restart', async () => {
  await using run = await prepareCapture(services, { setup: createItems, tables: byOrder })
  run.worker.start()
  await run.settle()
  await assertYieldsRows(run)
  const loaded = await run.records(items)
  assert.is(loaded.length, 1000)
  assert.ok(loaded.every(({ op, snapshot }) => op === 'r' && snapshot))

  await run.sql(`INSERT INTO items SELECT i, i / 3, NULL, repeat('long', 10000) FROM generate_series(2001, 2010) i`)
  await run.sql('UPDATE items SET price = 1 WHERE id > 2000')
  await run.sql('UPDATE items SET order_id = order_id + 1 WHERE id < 10')
  await run.sql(
    'BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE items SET id = 3 - id WHERE id IN (1, 2); UPDATE items SET id = id + 1; COMMIT',
  )
  await run.sql("BEGIN; DELETE FROM items WHERE id = 7; INSERT INTO items VALUES (7, 7, 7, 'again'); COMMIT")
  await run.sql(
    'BEGIN; UPDATE items SET note = note || 1 WHERE id = 9; SAVEPOINT s; DELETE FROM items; ROLLBACK TO s; COMMIT',
  )
  await run.settle()
  await assertYieldsRows(run)

  await run.worker.stop()
  await run.sql('UPDATE items SET price = price + 1 WHERE id % 2 = 0')
  await run.sql('TRUNCATE items')
  await run.sql("INSERT INTO items VALUES (5, 5, 5, 'after')")
  run.worker.start()
  await run.settle()
  await assertYieldsRows(run)
  const truncates = (await run.records(items)).filter(({ op }) => op === 't')
  assert.equal(
    truncates.map(({ partition, key }) => [partition, key]).sort(),
    [0, 1, 2].map(partition => [partition, null]),
  )
})

test('watermarks cover every change below them, advance while the source is idle, and delay no other change', async () => {
  await using run = await prepareCapture(services, { setup: createItems, tables: byOrder })
  run.worker.start()
  await run.settle()
  for (const time of ['99999999999999999', 'x', '99999999999999999999'])
    for (const prefix of ['millrace.heartbeat', `millrace.heartbeat.${run.name}_1`])
      await run.sql(`SELECT pg_logical_emit_message(false, '${prefix}', '${time}')`)
  const count = (await run.watermarks()).length
  await until(async () => (await run.watermarks()).length > count + 1, { what: 'watermarks of an idle database' })
  await run.sql("INSERT INTO items VALUES (5000, 1, 1, 'x')")
  await run.settle()
  await until(
    async () =>
      (await run.watermarks())
        .at(-1)!
        .offsets.flat()
        .reduce((a, b) => a + b) === 1001,
    {
      what: 'the watermark of an insert',
    },
  )
  const watermarks = await run.watermarks()
  const records = await run.records(items)
  assert.is(
    watermarks[0]!.offsets.flat().reduce((a, b) => a + b),
    1000,
  )
  for (const [index, { lsn, commitTimeUs, offsets }] of watermarks.entries()) {
    const before = watermarks[index - 1]
    if (before) assert.ok(lsn > before.lsn && commitTimeUs >= before.commitTimeUs)
    assert.ok(Math.abs(commitTimeUs / 1000 - Date.now()) < 600_000, `commit time ${commitTimeUs}`)
    const missing = records.filter(each => each.lsn < lsn && each.offset >= offsets[0]![each.partition]!)
    assert.equal(missing, [])
  }
})

test('a value that ClickHouse cannot hold stops the producer by name, at the same place after a restart', async () => {
  await using run = await prepareCapture(services, { setup: createItems, tables: byOrder })
  run.worker.start()
  await run.settle()
  await run.sql("INSERT INTO items VALUES (6000, 1, 1, 'before')")
  await run.sql("INSERT INTO items VALUES (6001, 1, 'NaN', 'refused')")
  await run.sql("INSERT INTO items VALUES (6002, 1, 1, 'behind')")
  for (let attempt = 1; attempt <= 2; attempt++) {
    const { code } = await run.worker.untilEnd()
    assert.is(code, 2)
    assert.match(run.worker.log, /VALUE_REFUSED: column price holds a value that cannot be represented/)
    const [, look] = /(SELECT \* FROM "public"\."items" WHERE xmin::text = '\d+') shows the row/.exec(run.worker.log)!
    assert.equal(
      (await run.printed(look!)).map(({ id }) => id),
      ['6001'],
    )
    assert.not.match(run.worker.log, /6001|"NaN"/)
    if (attempt === 1) run.worker.start()
  }
  const notes = (await run.records(items)).slice(-10).map(({ after }) => after!.note)
  assert.not.ok(notes.includes('behind'))
  await run.configure({ tables: { 'public.items': { partitionKey: ['order_id'], onError: 'dead-letter' } } })
  run.worker.start()
  await run.settle()
  const deadLetters = (await run.deadLetters()).map(deadLetter => JSON.parse(deadLetter.toString()) as DeadLetter)
  assert.equal(
    deadLetters.map(({ code, change }) => [code, change!.row]),
    [['VALUE_REFUSED', { id: '6001', order_id: '1', price: 'NaN', note: 'refused' }]],
  )
  await run.sql('UPDATE items SET price = 2 WHERE id = 6001')
  await run.settle()
  checkOrder(await run.records(items))
  const repaired = (await run.records(items)).filter(({ key }) => key?.id === '6001')
  assert.equal(
    repaired.map(({ op, after }) => [op, after!.price]),
    [['c', '2.00']],
  )
})

test('a generation that no longer fits the source is not streamed; a new generation beside it is', async () => {
  await using run = await prepareCapture(services, { setup: createItems, tables: byOrder })
  run.worker.start()
  await run.settle()
  await run.sql('ALTER TABLE items ADD COLUMN extra int')
  await run.sql("INSERT INTO items VALUES (7000, 1, 1, 'x', 1)")
  assert.is((await run.worker.untilEnd()).code, 2)
  assert.match(run.worker.log, /SCHEMA_CHANGED: the table is no longer as it was captured: column extra is new/)
  run.worker.start()
  assert.is((await run.worker.untilEnd()).code, 2)
  assert.is(run.worker.log.match(/SCHEMA_CHANGED: .*column extra is new/g)?.length, 2)
  await run.sql('ALTER TABLE items DROP COLUMN extra')

  await using fresh = run.producer('--new-generation')
  fresh.start()
  await until(async () => (await run.generations()).find(({ number, state }) => number === 2 && state === 'live'), {
    what: 'generation 2',
    timeoutMs: 60_000,
  })
  await run.sql("INSERT INTO items VALUES (7001, 1, 1, 'streamed')")
  await until(async () => (await run.records(items, 2)).some(({ after }) => after?.id === '7001'), { what: 'row 7001' })
  await assertYieldsRows(run, 2)
  assert.equal(
    (await run.generations()).map(({ number, state }) => [number, state]),
    [
      [1, 'live'],
      [2, 'live'],
    ],
  )
})

test('a second producer waits until the first has ended', async () => {
  await using run = await prepareCapture(services, { setup: createItems, tables: byOrder })
  run.worker.start()
  await run.settle()
  await using second = run.producer()
  second.start()
  await until(() => /PRODUCER_RUNNING/.test(second.log), { what: 'the second producer waits' })
  await run.worker.kill()
  await until(() => /streaming/.test(second.log), { what: 'the second producer takes over' })
})

/** Objects that a producer without a record of generation 1 must leave alone. */
async function heldBy(run: CaptureRun): Promise<unknown> {
  const slots = await run.sql(
    `SELECT slot_name::text, database::text, restart_lsn::text, confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '${run.name}_1'`,
  )
  const publications = await run.sql(`SELECT oid::text, pubname::text FROM pg_publication`)
  const records = await readTopic(services.endpoints.kafka!, `${run.name}.1.public.t`)
  return { slots, publications, records: records.map(({ value }) => value!.toString('hex')).sort() }
}

async function refusedStart(run: CaptureRun): Promise<string> {
  run.worker.start()
  assert.equal(await run.worker.untilEnd(), { code: 2, signal: null })
  return run.worker.tail()
}

const oneTable =
  'CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1), (2)'

test('a live generation without a record in this Kafka is named and left alone', async () => {
  await using run = await prepareCapture(services, { setup: oneTable })
  run.worker.start()
  await run.settle()
  await run.worker.stop()
  const [generation] = await run.generations()
  await run.kafka(kafka => deleteTopics(kafka, [generationsTopic(run.name)]))
  const before = await heldBy(run)
  const text = await refusedStart(run)
  assert.match(text, 'GENERATION_UNKNOWN')
  for (const part of [
    `replication slot ${run.name}_1 of the database ${run.database.name}`,
    `publication ${run.name}_1, made by millrace: pipeline ${run.name}, generation 1, id ${generation!.id}, Kafka cluster ${generation!.kafkaCluster}`,
    `4 topics such as ${run.name}.1.catalog`,
    'correct kafka.brokers',
    'millrace reset topics',
  ]) {
    assert.ok(text.includes(part), `${part} is named in\n${text}`)
  }
  assert.not.match(text, /in Postgres:/)
  assert.equal(await heldBy(run), before)

  await run.sql(`COMMENT ON PUBLICATION ${run.name}_1 IS 'made by millrace: of another Kafka'`)
  const other = await refusedStart(run)
  const statements = `SELECT pg_drop_replication_slot('${run.name}_1'); DROP PUBLICATION "${run.name}_1";`
  assert.ok(other.includes(`in Postgres: ${statements}`), other)
  assert.equal(await heldBy(run), before)
  await run.sql(statements)
  await run.kafka(async kafka => deleteTopics(kafka, await listTopics(kafka, `${run.name}.`)))
  run.worker.start()
  await run.settle()
})

test('a slot of the same name in another database is named and left alone', async () => {
  await using run = await prepareCapture(services, { setup: oneTable })
  await using other = await prepareCapture(services, { setup: oneTable })
  await other.sql(`SELECT pg_create_logical_replication_slot('${run.name}_1', 'pgoutput')`)
  const before = await heldBy(run)
  assert.match(await refusedStart(run), new RegExp(`${run.name}_1 is a slot of the database ${other.database.name}`))
  assert.equal(await heldBy(run), before)
  assert.equal(await run.generations(), [])
})

test('the removal of a killed load leaves objects alone that have another owner by now', async () => {
  await using run = await prepareCapture(services, { setup: oneTable })
  run.worker.start()
  await run.settle()
  await run.worker.stop()
  const [live] = await run.generations()
  const cutOff: Generation = { ...live!, id: 'of-before', state: 'loading' }
  await run.kafka(kafka => writeGeneration(kafka, run.name, cutOff))
  const { slots, publications } = (await heldBy(run)) as { slots: unknown; publications: unknown }
  const text = await refusedStart(run)
  assert.match(run.worker.log, /the slot and publication of this name are not removed/)
  assert.match(text, 'GENERATION_UNKNOWN')
  const after = (await heldBy(run)) as { slots: unknown; publications: unknown }
  assert.equal([after.slots, after.publications], [slots, publications])
})

test.run()
