// test/service/kafka-fetch: fetching records from offsets, ends of partitions, and errors.
// kafkajs writes topics where another client's batches matter.

import { isDeepStrictEqual } from 'node:util'
import { Kafka, logLevel, type Producer } from 'kafkajs'
import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import { type Fetcher, type FetchPosition, openFetcher } from '../../kafka/consumer/fetcher.ts'
import { findLastRecord, type RecordContent, readEndRecords } from '../../kafka/consumer/last-record.ts'
import { fetchRange, readRange } from '../../kafka/consumer/read-range.ts'
import { BatchBuilder } from '../../kafka/producer/batch-builder.ts'
import { openProducer } from '../../kafka/producer/idempotent-producer.ts'
import { nextSequence } from '../../kafka/producer/partition-queue.ts'
import { parseProduceResponse, produceRequest } from '../../kafka/producer/produce-request.ts'
import { type KafkaProxy, startKafkaProxy } from '../support/faults/kafka-proxy.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { appendText, connectTo, makeTopic } from '../support/servers/kafka.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('kafka fetch', { timeoutMs: 120_000 })
const limits = { maxWaitMs: 200, minBytes: 1, maxBytes: 1024 * 1024 }
const signal = new AbortController().signal
const fetchKey = 1

let services: Servers
let kafka: Kafka
let producer: Producer
let proxy: KafkaProxy
let connection: KafkaConnection
let fetcher: Fetcher

test.before(async () => {
  services = await shareServers(['kafka'])
  const broker = services.endpoints.kafka!
  kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING })
  producer = kafka.producer()
  await producer.connect()
  proxy = await startKafkaProxy(broker)
  connection = await connectTo(proxy.address)
  fetcher = openFetcher(connection)
})

test.after(async () => {
  fetcher?.close()
  await connection?.close()
  await proxy?.close()
  await producer?.disconnect()
  await services?.stop()
})

/** All values from the position to the partition's end. */
async function readValues(position: FetchPosition): Promise<string[]> {
  const values: string[] = []
  for (let offset = position.offset; ; ) {
    const [fetched] = await fetcher.fetch([{ ...position, offset }], limits, signal)
    if (fetched === undefined) continue
    const { records, end } = fetched
    for (let i = 0; i < records.count; i += 1)
      values.push(records.buffer.toString('utf8', records.valueStarts[i], records.valueEnds[i]))
    offset = records.nextOffset
    if (offset >= end) return values
  }
}

async function send(topic: string, values: readonly string[], compression = 0): Promise<void> {
  const messages = values.map(value => ({ value, partition: 0 }))
  await producer.send({ topic, messages, compression })
}

test('batches of another client are read, also from the middle of a batch', async () => {
  const topic = await makeTopic(connection, 1)
  await send(topic, ['a', 'b', 'c'])
  const gzip = 1
  await send(topic, ['d', 'e', 'f'], gzip)
  assert.equal(await readValues({ topic, partition: 0, offset: 0 }), ['a', 'b', 'c', 'd', 'e', 'f'])
  assert.equal(await readValues({ topic, partition: 0, offset: 4 }), ['e', 'f'])
  assert.equal(await fetcher.startOffsets(topic), [0])
  assert.equal(await fetcher.endOffsets(topic), [6])
})

test('a record above the limit of its partition comes with the next response, whatever other partitions have', async () => {
  const partitions = 8
  const topic = await makeTopic(connection, partitions)
  // Batches that fit into each partition's share.
  for (let times = 0; times < 20; times++) {
    const messages = Array.from({ length: partitions - 1 }, (_, partition) => ({
      partition,
      value: 'x'.repeat(10_000),
    }))
    await producer.send({ topic, messages })
  }
  const huge = partitions - 1
  await producer.send({ topic, messages: [{ partition: huge, value: 'y'.repeat(200_000) }] })
  for (const follows of [false, true]) {
    const own = openFetcher(connection, { follows })
    const offsets = new Array<number>(partitions).fill(0)
    let answers = 0
    while (offsets[huge] === 0) {
      const positions = offsets.map((offset, partition) => ({ topic, partition, offset, maxBytes: 20_000 }))
      for (const { partition, records } of await own.fetch(positions, limits, signal))
        offsets[partition] = records.nextOffset
      answers++
    }
    own.close()
    assert.ok(answers <= 2, `it came with answer ${answers}`)
  }
})

test('records of transactions are fetched like any others, also while one is open; markers are skipped', async () => {
  const topic = await makeTopic(connection, 1)
  const transactional = kafka.producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 })
  await transactional.connect()
  for (const end of ['abort', 'commit', 'open'] as const) {
    const transaction = await transactional.transaction()
    await transaction.send({ topic, messages: [{ value: end, partition: 0 }] })
    if (end !== 'open') {
      await transaction[end]()
      continue
    }
    await send(topic, ['plain'])
    assert.equal(await readValues({ topic, partition: 0, offset: 0 }), ['abort', 'commit', 'open', 'plain'])
    const { last } = await findLastRecord(fetcher, { topic, partition: 0 }, signal)
    assert.is(last?.value?.toString(), 'plain')
    await transaction.abort()
  }
  await transactional.disconnect()
  // The coordinator confirms the end of a transaction before it has written the marker.
  const markers = 3
  const allMarkers = async () => isDeepStrictEqual(await fetcher.endOffsets(topic), [4 + markers])
  await until(allMarkers, { what: 'the markers of all three transactions are in the topic' })
})

test('the last record is found in empty, plain and long partitions', async () => {
  const topic = await makeTopic(connection, 3)
  await producer.send({ topic, messages: [{ key: 'k', value: 'only', partition: 1 }] })
  const many = Array.from({ length: 5_000 }, (_, i) => ({ value: `v${i}`, partition: 2 }))
  await producer.send({ topic, messages: many })
  const lastRecord = (partition: number, isOwn?: (record: RecordContent) => boolean) =>
    findLastRecord(fetcher, { topic, partition, ...(isOwn && { isOwn }) }, signal)
  assert.equal(await lastRecord(0), { last: undefined, foreign: undefined })
  const { last: only } = await lastRecord(1)
  assert.equal([only?.offset, only?.key?.toString(), only?.value?.toString()], [0, 'k', 'only'])
  const { last, foreign } = await lastRecord(2)
  assert.equal([last?.value?.toString(), foreign], ['v4999', undefined])
  // Records of other writers after the last one count.
  const behind = await lastRecord(2, ({ offset, value }) => offset < 4_000 && value?.toString() !== 'v3999')
  assert.equal([behind.last?.value?.toString(), behind.foreign], ['v3998', { offset: 3_999, count: 1_001 }])
  assert.equal(await lastRecord(2, () => false), { last: undefined, foreign: { offset: 0, count: 5_000 } })
})

test('the last records of many partitions are read together; partitions that end with markers are read separately', async () => {
  const topics = [await makeTopic(connection, 3), await makeTopic(connection, 2)]
  const messages = Array.from({ length: 600 }, (_, i) => ({ value: `${i} ${'x'.repeat(2_000)}`, partition: i % 2 }))
  for (const topic of topics) await producer.send({ topic, messages })
  const transactional = kafka.producer({ transactionalId: 'ends', maxInFlightRequests: 1, idempotent: true })
  await transactional.connect()
  const transaction = await transactional.transaction()
  await transaction.send({ topic: topics[0]!, messages: [{ value: 'marked', partition: 1 }] })
  await transaction.commit()
  await transactional.disconnect()
  const marked = async () => isDeepStrictEqual((await fetcher.ranges(topics, signal))[0]![1], { start: 0, end: 302 })
  await until(marked, { what: 'the marker is in the topic' })
  const ranges = await fetcher.ranges(topics, signal)
  assert.equal(ranges[0]![2], { start: 0, end: 0 })
  const places = topics.flatMap((topic, index) =>
    ranges[index]!.flatMap(({ end }, partition) => (end > 0 ? [{ topic, partition, offset: end - 1 }] : [])),
  )
  const found: string[] = []
  const note = (topic: string, partition: number, value: unknown) =>
    found.push(`${topics.indexOf(topic)}/${partition}: ${String(value).split(' ')[0]}`)
  await readEndRecords(fetcher, places, (at, { value }) => void note(at.topic, at.partition, value), signal)
  assert.equal(found.sort(), ['0/0: 598', '1/0: 598', '1/1: 599'])
})

test('offsets outside the topic are an error, never replaced', async () => {
  const topic = await makeTopic(connection, 2)
  await send(topic, ['a', 'b', 'c'])
  const admin = kafka.admin()
  await admin.connect()
  // kafkajs deletes records only in partitions that it has read metadata of.
  await admin.fetchTopicOffsets(topic)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '2' }] })
  await admin.disconnect()
  for (const offset of [1, 4]) {
    const fetching = () => fetcher.fetch([{ topic, partition: 0, offset }], limits, signal)
    const error = await assert.refuses(fetching, 'OFFSETS_MISSING', /holds 2 to 3/)
    assert.is(error.where, `topic ${topic}, partition 0, offset ${offset}`)
  }
  assert.equal(await readValues({ topic, partition: 0, offset: 2 }), ['c'])
})

test('a read to an end that the leader lacks waits for it, and names it after the limit', async () => {
  const topic = await makeTopic(connection, 1)
  await send(topic, ['a'])
  let answers = 0
  proxy.decide = apiKey => {
    if (apiKey === fetchKey) answers += 1
    return 'pass'
  }
  const read = async (end: number, limitMs?: number) => {
    let count = 0
    for await (const records of readRange(fetcher, { topic, partition: 0, start: 0, end }, signal, limitMs))
      count += records.count
    return count
  }
  const reading = read(3)
  await until(() => answers >= 3, { what: 'the read to be told twice that there is no more' })
  await send(topic, ['b', 'c'])
  assert.is(await reading, 3)
  proxy.decide = () => 'pass'
  await assert.refuses(() => read(4, 100), 'OFFSETS_MISSING', /up to offset 4 .* ends at 3/)
})

test('a lost response and a broken connection only delay a fetch', async () => {
  const topic = await makeTopic(connection, 1)
  await send(topic, ['a'])
  const before = proxy.lost()
  proxy.decide = apiKey => (apiKey === fetchKey && proxy.lost() === before ? 'lose' : 'pass')
  assert.equal(await readValues({ topic, partition: 0, offset: 0 }), ['a'])
  assert.is(proxy.lost() - before, 1)
  proxy.cutAll()
  await send(topic, ['b'])
  assert.equal(await readValues({ topic, partition: 0, offset: 1 }), ['b'])
})

test('a range is fetched with a larger limit only after a truncated response, not while the leader is away', async () => {
  const topic = await makeTopic(connection, 1)
  await send(topic, ['a', 'b'])
  const rooms: number[] = []
  const own = openFetcher(connection)
  const { fetch } = own
  own.fetch = (positions, asked, until) => {
    rooms.push(asked.maxBytes)
    return fetch.call(own, positions, asked, until)
  }
  const before = proxy.lost()
  proxy.decide = apiKey => (apiKey === fetchKey && proxy.lost() < before + 5 ? 'lose' : 'pass')
  const { records } = await fetchRange(own, { topic, partition: 0, start: 0, end: 2 }, signal)
  own.close()
  assert.is(records.count, 2)
  assert.ok(rooms.length > 5, `${rooms.length} requests`)
  assert.equal(new Set(rooms), new Set([4 * 1024 * 1024]))
})

test('a record larger than every limit is fetched whole', async () => {
  const topic = await makeTopic(connection, 2, { 'max.message.bytes': '110000000' })
  const writer = await openProducer(connection, {
    topics: [{ name: topic, partitions: 2 }],
    compression: 'none',
    onDurable: () => undefined,
    onError: error => assert.unreachable(error.message),
  })
  const large = Buffer.alloc(100_000_000, 'x')
  writer.append(0, 0, large, -1, -1, 0, large.length)
  appendText(writer, 1, 'small')
  await writer.flush()
  await writer.close()
  const [value] = await readValues({ topic, partition: 0, offset: 0, maxBytes: 1000 })
  assert.ok(Buffer.from(value!).equals(large))
  const position = (partition: number) => ({ topic, partition, offset: 0 })
  const seen = new Set<number>()
  while (seen.size < 2)
    for (const { partition, records } of await fetcher.fetch([position(0), position(1)], limits, signal))
      if (records.count > 0) seen.add(partition)
})

test('the broker accepts sequence numbers that continue from 2^31 − 1 to 0', async () => {
  const topic = await makeTopic(connection, 1)
  const { producerId, producerEpoch } = await connection.ask(broker =>
    broker.initProducerId({ transactionalId: null, transactionTimeout: 0 }),
  )
  const connections = connection.openConnections()
  const link = await connections.to(connection.leader(topic, 0)!)
  const builder = new BatchBuilder()
  const produce = async (sequence: number, count: number) => {
    const value = Buffer.from('x')
    for (let i = 0; i < count; i += 1) builder.append(value, -1, -1, 0, 1, Date.now())
    const batch = builder.finish({
      producerId: Number(producerId),
      epoch: producerEpoch,
      sequence,
      compression: 'none',
    })
    const [result] = parseProduceResponse(await link.send(produceRequest([{ topic, partition: 0, batch }])))
    return result!.errorCode
  }
  const first = 2 ** 31 - 3
  const outOfOrder = 45
  assert.is(await produce(first, 10), 0)
  assert.is(nextSequence(first, 10), 7)
  assert.is(await produce(9, 1), outOfOrder)
  assert.is(await produce(nextSequence(first, 10), 1), 0)
  connections.close()
})

test('a missing topic is an error', async () => {
  await assert.refuses(() => connection.partitionCount('no-such-topic', { timeoutMs: 200 }), 'TOPIC_MISSING')
})

test.run()
