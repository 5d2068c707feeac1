// test/service/kafka-producer: the producer appends every record once and in order, through lost
// responses, broken connections and kills.

import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import {
  type IdempotentProducer,
  openProducer,
  type ProducerOptions,
} from '../../kafka/producer/idempotent-producer.ts'
import type { MillraceError } from '../../runtime/errors.ts'
import { type KafkaProxy, startKafkaProxy } from '../support/faults/kafka-proxy.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { appendText, connectTo, makeTopic, readTopic } from '../support/servers/kafka.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('kafka producer', { timeoutMs: 120_000 })
const produce = 0

let services: Services
let broker: string
let proxy: KafkaProxy
/** Directly to the broker, and through the proxy. */
let direct: KafkaConnection
let proxied: KafkaConnection

test.before(async () => {
  services = await startServices(['kafka'])
  broker = services.endpoints.kafka!
  proxy = await startKafkaProxy(broker)
  direct = await connectTo(broker)
  proxied = await connectTo(proxy.address)
})

test.after(async () => {
  await proxied?.close()
  await direct?.close()
  await proxy?.close()
  await services?.stop()
})

test.before.each(() => {
  proxy.decide = () => 'pass'
})

interface Opened {
  readonly producer: IdempotentProducer
  readonly durable: number[]
  readonly errors: MillraceError[]
}

async function open(
  connection: KafkaConnection,
  topic: string,
  options: Partial<ProducerOptions> & { partitions?: number; shared?: boolean } = {},
): Promise<Opened> {
  const durable: number[] = []
  const errors: MillraceError[] = []
  const { partitions = 1, shared = false, ...rest } = options
  const producer = await openProducer(connection, {
    topics: [{ name: topic, partitions, shared }],
    compression: 'none',
    onDurable: lsn => durable.push(lsn),
    onError: error => errors.push(error),
    ...rest,
  })
  return { producer, durable, errors }
}

/**
 * Appends `count` numbered records round robin, one checkpoint each, with at most 256 KiB pending.
 */
async function appendNumbered(producer: IdempotentProducer, count: number, partitions: number): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    appendText(producer, i % partitions, `record ${i}`)
    producer.checkpoint(i + 1)
    if (producer.pendingBytes > 256 * 1024) await producer.drained(128 * 1024)
  }
}

/** Every number once, in order, in its partition, without a gap between offsets. */
async function assertNumbered(topic: string, count: number, partitions: number): Promise<void> {
  const read = await readTopic(broker, topic, count)
  for (let partition = 0; partition < partitions; partition += 1) {
    const expected = []
    for (let i = partition; i < count; i += partitions) expected.push(`record ${i}`)
    assert.equal(
      read[partition]!.map(({ value }) => value),
      expected,
    )
    assert.is(read[partition]!.at(-1)!.offset, expected.length - 1)
  }
}

test('another client reads keys, values, nulls and both compressions', async () => {
  for (const compression of ['none', 'gzip'] as const) {
    const topic = await makeTopic(direct, 1)
    const { producer } = await open(direct, topic, { compression })
    appendText(producer, 0, 'välue', 'kéy')
    appendText(producer, 0, null, 'tombstone')
    appendText(producer, 0, 'no key')
    appendText(producer, 0, '', '')
    await producer.flush()
    await producer.close()
    const [records] = await readTopic(broker, topic, 4)
    assert.equal(records, [
      { offset: 0, key: 'kéy', value: 'välue' },
      { offset: 1, key: 'tombstone', value: null },
      { offset: 2, key: null, value: 'no key' },
      { offset: 3, key: '', value: '' },
    ])
  }
})

test('checkpoints become durable in order, and durable records are below the end offsets', async () => {
  const topic = await makeTopic(direct, 3)
  const { producer, durable } = await open(direct, topic, { partitions: 3 })
  producer.checkpoint(5)
  await until(() => durable.length === 1, { what: 'a mark without records' })
  await appendNumbered(producer, 30_000, 3)
  await producer.flush()
  assert.is(durable.at(-1), 30_000)
  assert.equal(
    durable,
    [...durable].sort((a, b) => a - b),
  )
  assert.equal(producer.durable(), { lsn: 30_000, endOffsets: [[10_000, 10_000, 10_000]] })
  assert.is(producer.pendingBytes, 0)
  await producer.close()
})

test('a response lost after the append leaves one copy', async () => {
  const topic = await makeTopic(direct, 1)
  const { producer, durable } = await open(proxied, topic)
  const before = proxy.lost()
  proxy.decide = apiKey => (apiKey === produce && proxy.lost() === before ? 'lose' : 'pass')
  appendText(producer, 0, 'once')
  producer.checkpoint(1)
  await producer.flush()
  assert.is(proxy.lost() - before, 1)
  assert.equal(producer.durable(), { lsn: 1, endOffsets: [[1]] })
  appendText(producer, 0, 'next')
  await producer.flush()
  await producer.close()
  assert.equal(durable, [1])
  const [records] = await readTopic(broker, topic, 2)
  assert.equal(
    records!.map(({ value }) => value),
    ['once', 'next'],
  )
})

test('every record is appended once and in order when every third response is lost', async () => {
  const topic = await makeTopic(direct, 4)
  const { producer, durable } = await open(proxied, topic, { partitions: 4, maxBatchBytes: 4096 })
  const before = proxy.lost()
  let responses = 0
  proxy.decide = apiKey => (apiKey === produce && ++responses % 3 === 0 ? 'lose' : 'pass')
  await appendNumbered(producer, 20_000, 4)
  await producer.flush()
  proxy.decide = () => 'pass'
  await producer.close()
  assert.ok(proxy.lost() - before >= 3, `only ${proxy.lost() - before} responses were lost`)
  assert.is(durable.at(-1), 20_000)
  await assertNumbered(topic, 20_000, 4)
})

test('every record is appended once and in order when connections break repeatedly', async () => {
  const topic = await makeTopic(direct, 2)
  const { producer } = await open(proxied, topic, { partitions: 2, maxBatchBytes: 4096 })
  let cuts = 0
  const cutting = setInterval(() => {
    cuts += 1
    proxy.cutAll()
  }, 40)
  await appendNumbered(producer, 60_000, 2)
  await until(() => cuts >= 5, { what: 'five cuts' })
  clearInterval(cutting)
  await producer.flush()
  await producer.close()
  await assertNumbered(topic, 60_000, 2)
})

test('every record is appended once and in order when the broker is killed and started again', async () => {
  const topic = await makeTopic(direct, 2)
  const { producer, errors } = await open(direct, topic, { partitions: 2, maxBatchBytes: 4096 })
  const count = 40_000
  const appending = appendNumbered(producer, count, 2)
  await until(() => producer.durable().lsn > 2_000, { what: 'the first records to be durable' })
  await services.kill('kafka')
  const durableAtKill = producer.durable().lsn
  await services.restart()
  await appending
  await producer.flush()
  assert.equal(errors, [])
  assert.ok(durableAtKill < count, 'the broker was killed when all was done')
  assert.is(producer.durable().lsn, count)
  await producer.close()
  await assertNumbered(topic, count, 2)
})

test('a foreign record stops the producer for good, unless the topic is shared', async () => {
  const topic = await makeTopic(direct, 1)
  const first = await open(direct, topic)
  const shared = await open(direct, topic, { shared: true })
  appendText(shared.producer, 0, 'foreign')
  await shared.producer.flush()
  appendText(first.producer, 0, 'ours')
  first.producer.checkpoint(1)
  await assert.refuses(() => first.producer.flush(), 'PRODUCE_CONFLICT')
  assert.is(first.errors.length, 1)
  assert.equal(first.durable, [])
  await assert.refuses(() => appendText(first.producer, 0, 'more'), 'PRODUCE_CONFLICT')
  appendText(shared.producer, 0, 'after ours')
  await shared.producer.flush()
  await shared.producer.close()
  await first.producer.close()
})

test('a record of 100 MB passes where the topic takes it', async () => {
  const topic = await makeTopic(direct, 1, { 'max.message.bytes': String(110_000_000) })
  const { producer } = await open(direct, topic)
  const value = Buffer.alloc(100_000_000, 'x')
  appendText(producer, 0, 'before')
  producer.append(0, 0, value, -1, -1, 0, value.length)
  appendText(producer, 0, 'after')
  await producer.flush()
  assert.equal(producer.durable().endOffsets, [[3]])
  await producer.close()
})

test('a record above the limit of the topic is an error and never acknowledged', async () => {
  const topic = await makeTopic(direct, 1, { 'max.message.bytes': '10000' })
  const { producer, durable, errors } = await open(direct, topic)
  for (let i = 0; i < 100; i += 1) appendText(producer, 0, 'x'.repeat(1000))
  await producer.flush()
  appendText(producer, 0, 'x'.repeat(20_000))
  producer.checkpoint(1)
  const error = await assert.refuses(() => producer.flush(), 'RECORD_TOO_LARGE')
  assert.match(error.next, /max\.message\.bytes/)
  assert.is(errors.length, 1)
  assert.equal(durable, [])
  await producer.close()
})

test('a wrong number of partitions is refused', async () => {
  const topic = await makeTopic(direct, 2)
  await assert.refuses(() => open(direct, topic, { partitions: 3 }), 'TOPIC_PARTITIONS_CHANGED', /2 partitions, not 3/)
})

test.run()
