// test/support/oracles/text-search: searches Kafka, ClickHouse and millrace's logs for given texts.
// It reads files as bytes, and both servers as any other client would.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { readState } from '../../../stack/state.ts'
import { until } from '../harness/suite.ts'
import type { Pipeline } from '../pipelines/pipeline.ts'
import { uniqueName } from '../servers/postgres.ts'
import type { Services } from '../servers/services.ts'

/** Each match as `place: text`, once. */
export type Matches = string[]

/**
 * Searches all files of both servers byte by byte. The files belong to every pipeline of these
 * servers.
 */
export function searchFiles({ directory }: Services, texts: readonly string[]): Matches {
  const state = readState(directory)
  return (['kafka', 'clickhouse'] as const).flatMap(name => searchDirectory(name, state[name]!.data, texts))
}

function searchDirectory(name: string, directory: string, texts: readonly string[]): Matches {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  if (files.length === 0) throw new Error(`${directory} holds no file`)
  return files.flatMap(file => {
    const bytes = readUnlessGone(join(file.parentPath, file.name))
    return texts.filter(text => bytes.includes(text)).map(text => `file of ${name} ${file.name}: ${text}`)
  })
}

/** ClickHouse adds and removes parts during the search. */
function readUnlessGone(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0)
    throw error
  }
}

/**
 * Searches all records and rows of one pipeline, as the servers return them, and the logs of its
 * services.
 */
export async function searchContents(pipeline: Pipeline, texts: readonly string[]): Promise<Matches> {
  const found: Matches = texts.filter(text => pipeline.fullLogs().includes(text)).map(text => `log: ${text}`)
  for (const [topic, bytes] of await readTopics(pipeline)) {
    found.push(...texts.filter(text => bytes.includes(text)).map(text => `topic ${topic}: ${text}`))
  }
  const tables = await pipeline.clickhouse<{ database: string; name: string }>(
    `SELECT database, name FROM system.tables WHERE match(database, '^${pipeline.name}_[0-9]+$') AND engine NOT LIKE '%View'`,
  )
  if (tables.length === 0) throw new Error('ClickHouse holds no table of this pipeline')
  for (const { database, name } of tables) {
    const rows = JSON.stringify(await pipeline.clickhouse(`SELECT * FROM \`${database}\`.\`${name}\``))
    found.push(...texts.filter(text => rows.includes(text)).map(text => `table ${name}: ${text}`))
  }
  return found
}

/** Keys and values of every topic of the pipeline, up to its current end. */
async function readTopics({ name, services }: Pipeline): Promise<Map<string, Buffer>> {
  const kafka = new Kafka({ brokers: [services.endpoints.kafka!], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const topics = (await admin.listTopics()).filter(topic => topic.startsWith(`${name}.`))
  if (topics.length === 0) throw new Error('Kafka holds no topic of this pipeline')
  const left = new Map<string, number>()
  for (const topic of topics) {
    for (const { partition, high } of await admin.fetchTopicOffsets(topic))
      if (high !== '0') left.set(`${topic}/${partition}`, Number(high))
  }
  await admin.disconnect()
  const contents = new Map(topics.map(topic => [topic, [] as Buffer[]]))
  const consumer = kafka.consumer({ groupId: uniqueName('search') })
  await consumer.connect()
  await consumer.subscribe({ topics, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ topic, partition, message: { key, value, offset } }) => {
      contents.get(topic)!.push(key ?? Buffer.alloc(0), value ?? Buffer.alloc(0))
      if (Number(offset) + 1 >= (left.get(`${topic}/${partition}`) ?? 0)) left.delete(`${topic}/${partition}`)
    },
  })
  try {
    await until(() => left.size === 0, { what: 'every topic is read', timeoutMs: 30_000 })
  } finally {
    await consumer.disconnect()
  }
  return new Map([...contents].map(([topic, parts]) => [topic, Buffer.concat(parts)]))
}
