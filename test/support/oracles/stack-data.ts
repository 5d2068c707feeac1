// test/support/oracles/stack-data: one row in each component of a stack, written once and read
// after every fault.

import { createClient } from '@clickhouse/client'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import type { Endpoints } from '../../../stack/component.ts'

const topic = 'kept'

/** Writes one row, one record and one row. */
export async function writeData({ postgres, kafka, clickhouse }: Endpoints): Promise<void> {
  const client = new pg.Client(postgres!)
  await client.connect()
  await client.query('create table kept as select 42 as answer')
  await client.end()

  const cluster = broker(kafka!)
  const admin = cluster.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true })
  await admin.disconnect()
  const producer = cluster.producer()
  await producer.connect()
  await producer.send({ topic, acks: -1, messages: [{ value: '42' }] })
  await producer.disconnect()

  const house = createClient({ url: clickhouse! })
  await house.command({ query: 'CREATE DATABASE kept ENGINE = Atomic' })
  await house.command({ query: 'CREATE TABLE kept.kept (answer UInt8) ENGINE = MergeTree ORDER BY answer' })
  await house.command({ query: 'INSERT INTO kept.kept VALUES (42)' })
  await house.close()
}

/** The data found: 42 in Postgres, the number of records in Kafka, 42 in ClickHouse. */
export async function readData({ postgres, kafka, clickhouse }: Endpoints): Promise<number[]> {
  const client = new pg.Client(postgres!)
  await client.connect()
  const { rows } = await client.query<{ answer: number }>('select answer from kept')
  await client.end()

  const admin = broker(kafka!).admin()
  await admin.connect()
  const [offsets] = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()

  const house = createClient({ url: clickhouse! })
  const result = await house.query({ query: 'SELECT answer FROM kept.kept', format: 'JSONEachRow' })
  const [row] = await result.json<{ answer: number }>()
  await house.close()
  return [rows[0]!.answer, Number(offsets!.high), row!.answer]
}

function broker(address: string): Kafka {
  return new Kafka({ brokers: [address], logLevel: logLevel.NOTHING })
}
