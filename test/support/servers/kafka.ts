// test/support/servers/kafka: topics for one test, and records that kafkajs' consumer reads from
// them.
// The reader shares no code with millrace.

import { randomBytes } from 'node:crypto'
import { type Admin, Kafka, logLevel } from 'kafkajs'
import { ensureTopic } from '../../../kafka/client/admin.ts'
import { connectKafka, type KafkaConnection } from '../../../kafka/client/cluster.ts'
import type { IdempotentProducer } from '../../../kafka/producer/idempotent-producer.ts'
import { until } from '../harness/suite.ts'
import { quietLog } from './services.ts'

export function connectTo(broker: string): Promise<KafkaConnection> {
  return connectKafka({ brokers: [broker], clientId: 'test', tls: false, log: quietLog() })
}

export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(5).toString('hex')}`
}

/** @see https://kafka.apache.org/protocol.html (resource types) */
const [topicType, brokerType] = [2, 4]

/** Sets the broker's defaults for topics. Without settings, restores the original ones. */
export async function preferOnBroker(admin: Admin, settings: Readonly<Record<string, string>>): Promise<void> {
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: brokerType, name: '1', configEntries }] })
}

/** Value of a setting for each topic, including defaults. */
export async function settingOf(admin: Admin, topics: readonly string[], setting: string): Promise<string[]> {
  const named = topics.map(name => ({ type: topicType, name, configNames: [setting] }))
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: named })
  return resources.map(({ configEntries }) => configEntries[0]!.configValue)
}

/** Creates a topic and returns its name. */
export async function makeTopic(
  connection: KafkaConnection,
  partitions: number,
  config: Readonly<Record<string, string>> = {},
): Promise<string> {
  const name = uniqueName('topic')
  await ensureTopic(connection, { name, partitions, replication: 1, config })
  return name
}

/** Appends text to the producer's first topic. */
export function appendText(
  producer: IdempotentProducer,
  partition: number,
  value: string | null,
  key: string | null = null,
): void {
  const source = Buffer.from(`${key ?? ''}${value ?? ''}`)
  const keyEnd = Buffer.byteLength(key ?? '')
  producer.append(0, partition, source, key === null ? -1 : 0, keyEnd, value === null ? -1 : keyEnd, source.length)
}

export interface ReadRecord {
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
}

/** All records of the topic, by partition, once it has at least `count` records. */
export async function readTopic(broker: string, topic: string, count: number): Promise<ReadRecord[][]> {
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: uniqueName('reader') })
  const partitions: ReadRecord[][] = []
  const total = () => partitions.reduce((sum, records) => sum + records.length, 0)
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      eachBatch: async ({ batch }) => {
        partitions[batch.partition] ??= []
        for (const { offset, key, value } of batch.messages)
          partitions[batch.partition]!.push({
            offset: Number(offset),
            key: key?.toString() ?? null,
            value: value?.toString() ?? null,
          })
      },
    })
    await until(() => total() >= count, { what: `${count} records in topic ${topic}`, timeoutMs: 30_000 })
    return partitions
  } finally {
    await consumer.disconnect()
  }
}
