// bench/limits: the rates of each server alone, in the same run, to compare the pipeline with.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import type { ChangeReceiver } from '../postgres/change-source.ts'
import { query } from '../postgres/client/client.ts'
import { dropSlot } from '../postgres/replication/slot.ts'
import { openStream } from '../postgres/replication/stream.ts'
import { readState } from '../stack/state.ts'
import { type BenchStack, poll } from './pipeline.ts'

export interface Limits {
  /** Rows per second that Postgres sends and millrace's decoder reads, and nothing else. */
  readonly walsender_rows_per_s: number
  /** Records per second of 150 bytes by the broker's own producer test, acks=all. */
  readonly broker_records_per_s: number
  /** Rows per second into a plain MergeTree, in ClickHouse's native format over HTTP. */
  readonly plain_insert_rows_per_s: number
}

const recordBytes = 150
const million = 1_000_000

/** Reads a slot that was created before the backlog, and drops it. */
export async function drainWalsender(stack: BenchStack, slot: string, publication: string): Promise<number> {
  const [row] = await query<{ lsn: string }>(stack.sql, "SELECT (pg_current_wal_lsn() - '0/0')::text AS lsn")
  const end = Number(row!.lsn)
  const count = { rows: 0, keptAlive: 0 }
  const started = performance.now()
  const stream = await openStream({
    url: stack.postgresUrl,
    slot,
    publication,
    receiver: countingReceiver(count),
    log: stack.log,
    signal: new AbortController().signal,
  })
  await poll('the end of the slot', async () => count.keptAlive >= end)
  const seconds = (performance.now() - started) / 1000
  await stream.close()
  await dropSlot(stack.sql, slot)
  return Math.round(count.rows / seconds)
}

function countingReceiver(count: { rows: number; keptAlive: number }): ChangeReceiver {
  const one = () => {
    count.rows++
  }
  const none = () => {}
  return {
    begin: none,
    commit: none,
    relation: none,
    insert: one,
    update: one,
    delete: one,
    truncate: none,
    message: none,
    started: none,
    keepalive(walEnd) {
      count.keptAlive = walEnd
    },
  }
}

/** `kafka-producer-perf-test`, run from the classpath of the running broker. */
export async function produceWithBroker(stack: BenchStack): Promise<number> {
  const command = readFileSync(`/proc/${readState(stack.directory).kafka!.pid}/cmdline`, 'utf8').split('\0')
  const classpath = command[command.findIndex(argument => argument === '-cp' || argument === '-classpath') + 1]!
  const topic = `bench-limit-${process.pid}`
  const args = [
    '--topic',
    topic,
    '--num-records',
    String(million),
    '--record-size',
    String(recordBytes),
    '--throughput',
    '-1',
  ]
  const properties = [`bootstrap.servers=${stack.kafka}`, 'acks=all']
  await createTopic(command[0]!, classpath, stack.kafka, topic)
  const { stdout } = await promisify(execFile)(command[0]!, [
    ...['-cp', classpath, 'org.apache.kafka.tools.ProducerPerformance', ...args, '--producer-props', ...properties],
  ])
  return Math.round(Number(/([\d.]+) records\/sec/.exec(stdout.trim().split('\n').at(-1)!)![1]))
}

async function createTopic(java: string, classpath: string, kafka: string, topic: string): Promise<void> {
  const args = ['--bootstrap-server', kafka, '--create', '--topic', topic, '--partitions', '4']
  await promisify(execFile)(java, ['-cp', classpath, 'org.apache.kafka.tools.TopicCommand', ...args])
}

/** Exports the rows of a table and inserts them into a plain table with the same columns. */
export async function insertPlain({ clickhouse, clickhouseUrl }: BenchStack, table: string): Promise<number> {
  const settings = 'max_insert_threads=1&async_insert=0&max_threads=1'
  const body = await post(`${clickhouseUrl}/?${settings}`, `SELECT * FROM ${table} WHERE _op = 'c' FORMAT Native`)
  await clickhouse.command('CREATE DATABASE IF NOT EXISTS bench_limit ENGINE = Atomic')
  await clickhouse.command(`CREATE TABLE bench_limit.plain AS ${table} ENGINE = MergeTree ORDER BY tuple()`)
  const started = performance.now()
  await post(
    `${clickhouseUrl}/?${settings}&query=${encodeURIComponent('INSERT INTO bench_limit.plain FORMAT Native')}`,
    body,
  )
  const seconds = (performance.now() - started) / 1000
  const [row] = await clickhouse.rows<{ n: string }>('SELECT count() AS n FROM bench_limit.plain')
  return Math.round(Number(row!.n) / seconds)
}

async function post(url: string, body: string | Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(url, { method: 'POST', body })
  if (!response.ok) throw new Error(await response.text())
  return new Uint8Array(await response.arrayBuffer())
}
