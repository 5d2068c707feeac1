// test/e2e/dead-letters.test: foreign records, and rows that only ClickHouse refuses, become dead
// letters once; no other row is affected.
// kafkajs writes the foreign records. A constraint on the changelog refuses rows.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AvroWriter } from '../../contract/avro-writer.ts'
import { writeFixture } from '../support/harness/program.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { millrace, printed } from '../support/pipelines/commands.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'
import { appendInTransaction, appendRecords, readTopic } from '../support/servers/topic.ts'

const test = suite('dead letters', { timeoutMs: 180_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const setup = `CREATE TABLE public.sales (id int PRIMARY KEY, amount numeric(10,2) NOT NULL);
  ALTER TABLE public.sales REPLICA IDENTITY FULL; INSERT INTO public.sales SELECT g, g FROM generate_series(1, 20) g`
const toDeadLetters = { 'public.*': { onError: 'dead-letter' } }
const topicOf = ({ name }: Pipeline) => `${name}.1.public.sales`

/**
 * The value of a record under an unknown schema, as another team's producer writes it. Its first
 * field is a time in µs.
 */
function foreignAvro(): Buffer {
  const writer = new AvroWriter()
  writer.byte(0)
  writer.position += writer.buffer.writeUInt32BE(1_000_000, writer.position) - writer.position
  for (const number of [Date.now() * 1000, 0, 1, Date.now() * 1000]) writer.long(number)
  writer.byte(0)
  return Buffer.from(writer.buffer.subarray(0, writer.position))
}

/** One foreign record of each kind, for the partition of one of millrace's records. */
async function foreignRecords(pipeline: Pipeline) {
  const records = await readTopic(services.endpoints.kafka!, topicOf(pipeline))
  const own = records.at(-1)!
  const unknownSchema = Buffer.from(own.value!)
  unknownSchema.writeUInt32BE(987_654, 1)
  const unknownOperation = Buffer.from(own.value!)
  unknownOperation[own.value!.indexOf('\x02r') + 1] = 'x'.charCodeAt(0)
  const text = Buffer.from('hello, this is a text')
  const json = Buffer.from('{"id":1,"amount":2}')
  const key = Buffer.from('k1')
  const { partition } = own
  return [
    { key, value: text },
    { key: null, value: text },
    { key, value: json },
    { key: null, value: json },
    { key: null, value: Buffer.from('hi') },
    { key, value: null },
    { key: own.key, value: null },
    { key: own.key, value: unknownSchema },
    { key: own.key, value: unknownOperation },
    { key, value: own.value },
    { key: null, value: own.value },
    { key: own.key, value: Buffer.concat([own.value!, Buffer.from([0])]) },
    { key, value: foreignAvro() },
    { key: null, value: foreignAvro() },
  ].map(record => ({ ...record, partition }))
}

async function deadLetterPlaces(pipeline: Pipeline): Promise<string[]> {
  const deadLetters = await pipeline.deadLetters()
  return deadLetters.map(({ record }) => `${record!.partition}/${record!.offset}`)
}

async function rowsShown(pipeline: Pipeline): Promise<number> {
  const [row] = await pipeline.clickhouse<{ n: string }>('SELECT count() AS n FROM `public.sales`')
  return Number(row!.n)
}

test('each foreign record becomes one dead letter, whatever its bytes, and the producer continues from its own last record', async () => {
  await using pipeline = await startPipeline(services, { setup, tables: toDeadLetters })
  const { kafka } = services.endpoints
  const topic = topicOf(pipeline)
  const foreign = await foreignRecords(pipeline)
  await pipeline.producer.stop()
  await appendRecords(kafka!, topic, foreign)
  for (const end of ['commit', 'abort'] as const) await appendInTransaction(kafka!, { topic, end }, foreign.slice(0, 2))
  await pipeline.sql('UPDATE sales SET amount = amount + 0.5 WHERE id <= 10; INSERT INTO sales VALUES (21, 21)')
  pipeline.start()
  await pipeline.assertEqual()
  const expected = foreign.length + 4
  await until(async () => (await deadLetterPlaces(pipeline)).length >= expected, { what: `${expected} dead letters` })
  const places = await deadLetterPlaces(pipeline)
  assert.is(places.length, expected)
  assert.is(new Set(places).size, expected)
  assert.is(await rowsShown(pipeline), 21)
  assert.match(pipeline.producer.log, /another program writes to a topic of this pipeline.*records=18/)

  await pipeline.consumer.kill()
  await appendRecords(kafka!, topic, foreign.slice(0, 3))
  await pipeline.sql('DELETE FROM sales WHERE id > 15')
  pipeline.start()
  await pipeline.assertEqual()
  await until(async () => (await deadLetterPlaces(pipeline)).length >= expected + 3, {
    what: 'three more dead letters',
  })
  await pipeline.consumer.stop()
  pipeline.consumer.start()
  await pipeline.sql('UPDATE sales SET amount = 7')
  await pipeline.assertEqual()
  const all = await deadLetterPlaces(pipeline)
  assert.equal([all.length, new Set(all).size], [expected + 3, expected + 3], 'no dead letter twice')
  const status = await printed(pipeline, 'status')
  assert.match(
    status,
    `dead letters of ${all.length} rows or records, which are not in ClickHouse: ${all.length} of public.sales`,
  )
  const [deadLetter] = await pipeline.deadLetters()
  assert.equal([deadLetter!.code, deadLetter!.record!.topic], ['RECORD_UNREADABLE', topic])
  assert.is(Buffer.from(deadLetter!.record!.value!, 'base64').toString(), 'hello, this is a text')
})

test('with onError: stop, the first foreign record is named, all records before it are inserted, and nothing is lost', async () => {
  await using pipeline = await startPipeline(services, { setup })
  const { kafka } = services.endpoints
  const topic = topicOf(pipeline)
  const foreign = (await foreignRecords(pipeline)).at(-1)!
  assert.is(foreign.key, null)
  await pipeline.producer.stop()
  const ends = (await readTopic(kafka!, topic)).filter(({ partition }) => partition === foreign.partition)
  await appendRecords(kafka!, topic, [foreign])
  await pipeline.sql('UPDATE sales SET amount = amount + 0.5; INSERT INTO sales VALUES (21, 21)')
  pipeline.producer.start()
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  for (const part of [
    'RECORD_UNREADABLE',
    'schema id 1000000',
    `topic ${topic}, partition ${foreign.partition}, offset ${ends.length}`,
    'tables.public.sales.onError: dead-letter',
  ])
    assert.ok(pipeline.consumer.log.includes(part), `the message names ${part}:\n${pipeline.consumer.tail()}`)
  assert.is(await rowsShown(pipeline), 20, 'it is not taken for a TRUNCATE')
  const stopped = /^stopped, generation 1; producer streaming, consumer not running/
  await until(async () => stopped.test(await printed(pipeline, 'status')), { what: 'the producer streams' })

  await pipeline.configure({ tables: toDeadLetters })
  pipeline.consumer.start()
  await pipeline.assertEqual()
  assert.is(await rowsShown(pipeline), 21)
  assert.equal(await deadLetterPlaces(pipeline), [`${foreign.partition}/${ends.length}`])
})

/** Sums by code, for codes that are numbers. */
const countsByNumber = (toNumber: string) => ({
  'model.yaml': `requires: [public.events]
publish:
  counted: [by_number]
aggregates:
  counts: { by: [id], of: [public.events] }
  codes: { by: [id], of: [public.events] }
`,
  'clickhouse/100_counts.sql': `CREATE TABLE counts (number UInt32, events Int64, total Int64) ENGINE = SummingMergeTree ORDER BY number;
CREATE VIEW \`counts.contributions\` AS
SELECT ${toNumber}(code) AS number, sum(_sign) AS events, sum(_sign * n) AS total FROM \`public.events.rows\` GROUP BY number;
CREATE VIEW by_number AS SELECT number, sum(counts.events) AS events, sum(counts.total) AS total FROM counts GROUP BY number HAVING events != 0;
`,
  'clickhouse/200_codes.sql': `CREATE TABLE codes (code String, events Int64) ENGINE = SummingMergeTree ORDER BY code;
CREATE VIEW \`codes.contributions\` AS SELECT code, sum(_sign) AS events FROM \`public.events.rows\` GROUP BY code;
`,
  'checks/by_number.sql': `-- key: number
SELECT CASE WHEN code ~ '^[0-9]+$' THEN code::bigint ELSE 0 END AS number, count(*) AS events, sum(n)::bigint AS total
FROM public.events GROUP BY 1
`,
})

const events = `CREATE TABLE public.events (id int PRIMARY KEY, code text NOT NULL, n int NOT NULL);
  ALTER TABLE public.events REPLICA IDENTITY FULL; INSERT INTO public.events SELECT g, g % 7, g FROM generate_series(1, 1000) g`

async function assertOnce(pipeline: Pipeline): Promise<void> {
  const [row] = await pipeline.clickhouse<{ rows: string; different: string }>(
    "SELECT count() AS rows, uniqExact(_partition, _offset, _sign) AS different FROM `public.events.changelog` WHERE _op != 't'",
  )
  assert.is(row!.rows, row!.different)
}

test('an image that only ClickHouse refuses becomes a dead letter each time it comes, and every sum stays right', async () => {
  const model = writeFixture(countsByNumber('toUInt32'))
  await using pipeline = await startPipeline(services, { setup: events, tables: toDeadLetters, settings: { model } })
  await pipeline.clickhouse("ALTER TABLE `public.events.changelog` ADD CONSTRAINT good CHECK code != '77'")
  await pipeline.sql(`BEGIN; INSERT INTO events SELECT g, g % 7, g FROM generate_series(1001, 1020) g;
    INSERT INTO events VALUES (2000, '77', 1), (2001, '77', 1), (2002, '77', 1);
    UPDATE events SET code = '77' WHERE id IN (1, 2, 3, 4); UPDATE events SET n = n + 1 WHERE id <= 40; COMMIT`)
  await pipeline.settle()
  await assertOnce(pipeline)
  const { tables, reports } = await pipeline.verify()
  const missing = tables['public.events']!.keys.map(({ key, state }) => `${key.replace(/^\d+:/, '')} ${state}`)
  assert.equal(missing.sort(), [
    '1 missing',
    '2 missing',
    '2000 missing',
    '2001 missing',
    '2002 missing',
    '3 missing',
    '4 missing',
  ])
  assert.is(reports.by_number!.differing, 1, 'only the refused code lacks its rows')

  await pipeline.consumer.kill()
  await pipeline.sql(`UPDATE events SET n = n + 1; UPDATE events SET code = '5' WHERE id IN (1, 2, 2000);
    UPDATE events SET id = 3000, code = '6' WHERE id = 3; DELETE FROM events WHERE id IN (4, 2001); UPDATE events SET n = n + 1 WHERE id = 1`)
  pipeline.consumer.start()
  await pipeline.settle()
  await pipeline.sql(
    "UPDATE events SET code = '3' WHERE id = 2002; TRUNCATE events; INSERT INTO events VALUES (1, '77', 1), (2, '7', 2)",
  )
  await pipeline.settle()
  await pipeline.sql("UPDATE events SET code = '7' WHERE id = 1")
  await pipeline.assertEqual()
  await assertOnce(pipeline)
  const deadLetters = await pipeline.deadLetters()
  const keys = deadLetters.map(({ record }) => `${record!.partition}/${record!.offset}/${record!.image}`)
  assert.is(new Set(keys).size, keys.length, 'no dead letter twice')
  assert.ok(deadLetters.every(({ code, what }) => code === 'CLICKHOUSE_REFUSED' && /VIOLATED_CONSTRAINT/.test(what)))
  assert.not.ok(
    deadLetters.some(({ what }) => /\b77\b/.test(what)),
    'no value in a message',
  )
  // A dead letter has no row, and must not count as lost after the kill.
  const suspicions = pipeline.consumer.log.split('\n').filter(line => /does not match|inserted again/.test(line))
  assert.equal(suspicions, [])
})

test('with onError: stop, a refused image is named with its place, and nothing after it is inserted until it is repaired', async () => {
  await using pipeline = await startPipeline(services, { setup: events })
  await pipeline.clickhouse("ALTER TABLE `public.events.changelog` ADD CONSTRAINT good CHECK code != '77'")
  await pipeline.sql(
    "INSERT INTO events VALUES (2000, '7', 1); UPDATE events SET code = '77' WHERE id = 1; DELETE FROM events WHERE id = 2",
  )
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  assert.match(pipeline.consumer.log, /CLICKHOUSE_REFUSED: the new row of the record: .*VIOLATED_CONSTRAINT/)
  assert.match(pipeline.consumer.log, /topic \S+\.public\.events, partition \d, offset \d+/)
  await pipeline.clickhouse('ALTER TABLE `public.events.changelog` DROP CONSTRAINT good')
  pipeline.consumer.start()
  await pipeline.assertEqual()
  await assertOnce(pipeline)
  assert.equal(await pipeline.deadLetters(), [])
})

test('an aggregate that cannot take a row waits and says so, tables and other aggregates continue; after a correction it is right', async () => {
  const model = writeFixture(countsByNumber('toUInt32'))
  await using pipeline = await startPipeline(services, { setup: events, tables: toDeadLetters, settings: { model } })
  const shown = async () => {
    const [row] = await pipeline.clickhouse(
      'SELECT (SELECT count() FROM `public.events`), (SELECT sum(events) FROM codes), (SELECT sum(events) FROM counts)',
    )
    return Object.values(row!).map(Number)
  }
  assert.equal(await shown(), [1_000, 1_000, 1_000])
  await pipeline.sql(`BEGIN; INSERT INTO events SELECT g, g % 7, 1 FROM generate_series(1001, 1025) g;
    INSERT INTO events VALUES (5000, 'n/a', 1); INSERT INTO events SELECT g, g % 7, 1 FROM generate_series(1026, 1050) g; COMMIT`)
  const isShown = (total: number) => async () => String(await shown()) === String([total, total, 1_000])
  await pipeline.until(isShown(1_051), { what: 'the table and the other aggregate continue' })
  for (const restart of [false, true]) {
    if (restart) {
      await pipeline.consumer.kill()
      pipeline.consumer.start()
    }
    const failing = async () => (await printed(pipeline, 'status')).includes('FOLD_FAILED')
    await pipeline.until(failing, { what: 'millrace status names the failure' })
    const status = await printed(pipeline, 'status')
    for (const part of ['counts', 'CANNOT_PARSE_TEXT']) assert.ok(status.includes(part), status)
  }
  assert.match(pipeline.consumer.log, /counts\.contributions.*reset star/)
  await pipeline.sql('INSERT INTO events SELECT g, g % 7, 1 FROM generate_series(1051, 1100) g')
  await pipeline.until(isShown(1_101), { what: 'the table and the other aggregate continue after a restart' })

  await Promise.all([pipeline.producer.stop(), pipeline.consumer.stop()])
  for (const [path, text] of Object.entries(countsByNumber('toUInt32OrZero'))) writeFileSync(join(model, path), text)
  await millrace(pipeline, 'reset', 'star', '--confirm', pipeline.name)
  pipeline.start()
  await pipeline.assertEqual()
  await pipeline.sql("UPDATE events SET n = n + 1; UPDATE events SET code = '4' WHERE id = 5000")
  await pipeline.assertEqual()
  await assertOnce(pipeline)
  assert.equal(await pipeline.deadLetters(), [], 'no record became a dead letter')
})

test.run()
