// test/e2e/foreign.test: what others write into a table's topic is named or set aside, once, and moves nothing else.
// May know: everything. The foreign records are written by kafkajs.

import { AvroWriter } from '../../contract/avro-writer.ts'
import { type Pipeline, startPipeline } from '../support/pipeline.ts'
import { type Services, startServices } from '../support/services.ts'
import { assert, suite, until } from '../support/suite.ts'
import { appendInTransaction, appendRecords, readTopic } from '../support/topic.ts'

const test = suite('foreign records', { timeoutMs: 180_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const setup = `CREATE TABLE public.sales (id int PRIMARY KEY, amount numeric(10,2) NOT NULL);
  ALTER TABLE public.sales REPLICA IDENTITY FULL; INSERT INTO public.sales SELECT g, g FROM generate_series(1, 20) g`
const divert = { 'public.*': { onRefusal: 'divert' } }
const topicOf = ({ name }: Pipeline) => `${name}.1.public.sales`

/** The value of a record under an unknown schema, as another team's producer writes it: its first field is a time in µs. */
function foreignAvro(): Buffer {
  const writer = new AvroWriter()
  writer.byte(0)
  writer.position += writer.buffer.writeUInt32BE(1_000_000, writer.position) - writer.position
  for (const number of [Date.now() * 1000, 0, 1, Date.now() * 1000]) writer.long(number)
  writer.byte(0)
  return Buffer.from(writer.buffer.subarray(0, writer.position))
}

/** One of each kind, for the partition of a record of ours. */
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

async function letterPlaces(pipeline: Pipeline): Promise<string[]> {
  const letters = await pipeline.deadLetters()
  return letters.map(({ record }) => `${record!.partition}/${record!.offset}`)
}

async function rowsShown(pipeline: Pipeline): Promise<number> {
  const [row] = await pipeline.clickhouse<{ n: string }>('SELECT count() AS n FROM `public.sales`')
  return Number(row!.n)
}

test('each is set aside once, whatever its bytes look like, and the producer goes on from its own last record', async () => {
  await using pipeline = await startPipeline(services, { setup, tables: divert })
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
  await until(async () => (await letterPlaces(pipeline)).length >= expected, { what: `${expected} letters` })
  const places = await letterPlaces(pipeline)
  assert.is(places.length, expected)
  assert.is(new Set(places).size, expected)
  assert.is(await rowsShown(pipeline), 21)
  assert.match(pipeline.producer.log, /somebody else writes to a topic of this pipeline.*records=18/)

  await pipeline.consumer.kill()
  await appendRecords(kafka!, topic, foreign.slice(0, 3))
  await pipeline.sql('DELETE FROM sales WHERE id > 15')
  pipeline.start()
  await pipeline.assertEqual()
  await until(async () => (await letterPlaces(pipeline)).length >= expected + 3, { what: 'three more letters' })
  await pipeline.consumer.stop()
  pipeline.consumer.start()
  await pipeline.sql('UPDATE sales SET amount = 7')
  await pipeline.assertEqual()
  const all = await letterPlaces(pipeline)
  assert.equal([all.length, new Set(all).size], [expected + 3, expected + 3], 'no letter twice')
  const [letter] = await pipeline.deadLetters()
  assert.equal([letter!.code, letter!.record!.topic], ['RECORD_UNREADABLE', topic])
  assert.is(Buffer.from(letter!.record!.value!, 'base64').toString(), 'hello, this is a text')
})

test('with the policy to stop, the first one is named, what stands before it is folded, and nothing is lost', async () => {
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
    'tables.public.sales.onRefusal: divert',
  ])
    assert.ok(pipeline.consumer.log.includes(part), `the message names ${part}:\n${pipeline.consumer.tail()}`)
  assert.is(await rowsShown(pipeline), 20, 'it is not taken for a TRUNCATE')

  await pipeline.configure({ tables: divert })
  pipeline.consumer.start()
  await pipeline.assertEqual()
  assert.is(await rowsShown(pipeline), 21)
  assert.equal(await letterPlaces(pipeline), [`${foreign.partition}/${ends.length}`])
})

test.run()
