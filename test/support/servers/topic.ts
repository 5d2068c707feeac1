// test/support/servers/topic: all records of a topic, read as any other client would, and appending
// of records.

import { Kafka, logLevel, Partitioners, type Producer, type ProducerConfig } from 'kafkajs'
import { until } from '../harness/suite.ts'
import { uniqueName } from './postgres.ts'

export interface TopicRecord {
  readonly partition: number
  readonly offset: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/**
 * All records up to the current end, partition by partition. Empty when the topic does not exist.
 */
export async function readTopic(broker: string, topic: string): Promise<TopicRecord[]> {
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  try {
    if (!(await admin.listTopics()).includes(topic)) return []
    const kept = (await admin.fetchTopicOffsets(topic)).filter(({ low, high }) => Number(high) > Number(low))
    if (kept.length === 0) return []
    const ends = new Map(kept.map(({ partition, high }) => [partition, Number(high)]))
    const group = uniqueName('test')
    const records = await consume(kafka, { topic, group, ends })
    await admin.deleteGroups([group])
    return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
  } finally {
    await admin.disconnect()
  }
}

type NewRecord = Pick<TopicRecord, 'partition' | 'key' | 'value'>

/** Appends the records as any other client would, each to its partition. */
export function appendRecords(broker: string, topic: string, records: readonly NewRecord[]): Promise<void> {
  return withProducer(broker, {}, async producer => {
    await producer.send({ topic, messages: messagesOf(records) })
  })
}

/** Appends the records in a transaction. */
export function appendInTransaction(
  broker: string,
  { topic, end }: { topic: string; end: 'commit' | 'abort' },
  records: readonly NewRecord[],
): Promise<void> {
  const transactional = { transactionalId: uniqueName('transaction'), idempotent: true, maxInFlightRequests: 1 }
  return withProducer(broker, transactional, async producer => {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: messagesOf(records) })
    await transaction[end]()
  })
}

function messagesOf(records: readonly NewRecord[]): NewRecord[] {
  return records.map(({ partition, key, value }) => ({ partition, key, value }))
}

async function withProducer(
  broker: string,
  config: ProducerConfig,
  work: (producer: Producer) => Promise<void>,
): Promise<void> {
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING })
  const producer = kafka.producer({ ...config, createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  try {
    await work(producer)
  } finally {
    await producer.disconnect()
  }
}

/** Deletes the topic with all its records and creates it again, empty. */
export async function remakeTopic(broker: string, topic: string): Promise<void> {
  const admin = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    await admin.deleteTopics({ topics: [topic] })
    const isGone = async () => !(await admin.listTopics()).includes(topic)
    await until(isGone, { what: `topic ${topic} is gone` })
    await admin.createTopics({
      topics: [{ topic, numPartitions: topics[0]!.partitions.length }],
      waitForLeaders: false,
    })
  } finally {
    await admin.disconnect()
  }
}

async function consume(
  kafka: Kafka,
  { topic, group, ends }: { topic: string; group: string; ends: ReadonlyMap<number, number> },
): Promise<TopicRecord[]> {
  const waiting = new Set(ends.keys())
  const records: TopicRecord[] = []
  const consumer = kafka.consumer({ groupId: group })
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      // kafkajs recovers by itself from passing errors, such as a coordinator that is still
      // loading.
      consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error))
      const eachMessage = async ({
        partition,
        message,
      }: {
        partition: number
        message: Omit<TopicRecord, 'partition' | 'offset'> & { offset: string }
      }) => {
        const offset = Number(message.offset)
        records.push({ partition, offset, key: message.key, value: message.value })
        if (offset + 1 >= ends.get(partition)!) waiting.delete(partition)
        if (waiting.size === 0) resolve()
      }
      consumer.run({ eachMessage }).catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
  return records
}
