// test/service/dead-letters.test: the consumer writes each dead letter once, and cuts one that is
// too large for its topic.

import { Kafka, logLevel } from 'kafkajs'
import { openDeadLetters } from '../../consumer/insert/dead-letter.ts'
import type { DeadLetter } from '../../contract/dead-letter.ts'
import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { connectTo, makeTopic, readTopic } from '../support/servers/kafka.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

/** @see https://kafka.apache.org/protocol.html; kafkajs has names for these only in its types */
const topicResource = 2

const test = suite('dead letters')

let services: Servers
let broker: string
let connection: KafkaConnection

test.before(async () => {
  services = await shareServers(['kafka'])
  broker = services.endpoints.kafka!
  connection = await connectTo(broker)
})
test.after(async () => {
  await connection?.close()
  await services?.stop()
})

/** A dead letter about a record of this many bytes. */
function letterOf(offset: number, bytes: number) {
  const value = Buffer.alloc(bytes, 'x').toString('base64')
  const record = { topic: 'refused', partition: 3, offset, key: null, value }
  return {
    code: 'CLICKHOUSE_REFUSED',
    what: 'cannot be stored',
    next: 'mend it',
    at: new Date(0).toISOString(),
    record,
  }
}

async function lettersIn(topic: string, count: number): Promise<DeadLetter[]> {
  const read = await readTopic(broker, topic, count)
  return read.flat().map(({ value }) => JSON.parse(value!) as DeadLetter)
}

test('a dead letter above the size limit of its topic is cut, and names the cut fields', async () => {
  const topic = await makeTopic(connection, 2, { 'max.message.bytes': '50000' })
  const deadLetters = await openDeadLetters({ connection, topic, signal: new AbortController().signal })
  await deadLetters.write([letterOf(1, 200_000), letterOf(2, 20_000)])
  await deadLetters.close()
  const [cut, whole] = (await lettersIn(topic, 2)).map(({ record }) => record!)
  assert.is(Buffer.from(cut!.value!, 'base64').length, cut!.cutAfter)
  assert.ok(cut!.cutAfter! > 10_000 && cut!.cutAfter! < 50_000, `cut after ${cut!.cutAfter} bytes`)
  assert.equal([whole!.offset, whole!.cutAfter], [2, undefined])
  assert.is(Buffer.from(whole!.value!, 'base64').length, 20_000)
})

test('a dead letter that could not be written is written by the next attempt, without repeating the earlier ones', async () => {
  const topic = await makeTopic(connection, 2, { 'max.message.bytes': '50000' })
  const deadLetters = await openDeadLetters({ connection, topic, signal: new AbortController().signal })
  const admin = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const setLimit = (bytes: number) =>
    admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: topicResource,
          name: topic,
          configEntries: [{ name: 'max.message.bytes', value: String(bytes) }],
        },
      ],
    })
  await deadLetters.write([letterOf(1, 100)])
  await setLimit(1000)
  let last = 1
  const attempt = () => deadLetters.write([letterOf(1, 100), letterOf(last, 20_000)])
  const succeeds = () =>
    attempt().then(
      () => true,
      () => false,
    )
  // Brokers apply a setting some time after they have confirmed it.
  const isRefused = async () => {
    last++
    return !(await succeeds())
  }
  await until(isRefused, { what: 'a refused dead letter' })
  await assert.refuses(attempt, 'RECORD_TOO_LARGE')
  await setLimit(50_000)
  await until(succeeds, { what: 'a written dead letter' })
  await deadLetters.close()
  await admin.disconnect()
  assert.equal(
    (await lettersIn(topic, last)).map(({ record }) => record!.offset),
    Array.from({ length: last }, (_, index) => index + 1),
  )
})

test.run()
