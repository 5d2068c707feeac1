// bench/wide: many small tables that all change a little: start, idle cost, freshness and memory.
// Measures from outside, with a writer, a reader and /proc.

import { parseLsn } from '../contract/position.ts'
import { connect, query } from '../postgres/client/client.ts'
import type { ProducerStatus } from '../producer/progress.ts'
import { sleep } from '../runtime/wait.ts'
import { type Latency, summarize } from './freshness.ts'
import { type BenchStack, mapValues, openBenchStack, Pipeline, poll, useOfAll } from './pipeline.ts'

export interface WideResult {
  readonly tables: number
  /** Partitions of each table's topic. */
  readonly partitions: number
  /** Requested row changes per second, each in a random table. */
  readonly rate: number
  readonly written_per_s: number
  /** Seconds from the start of both processes. */
  readonly start_s: {
    /** New generation: until the initial load is visible. */
    readonly loaded: number
    /** Existing generation: until the producer streams, and until the first change is visible. */
    readonly streaming: number
    readonly visible: number
  }
  /** CPU-seconds per second without changes. */
  readonly idle_cpu: Readonly<Record<string, number>>
  /** CPU-seconds per second with changes. */
  readonly busy_cpu: Readonly<Record<string, number>>
  /** Milliseconds from the commit of a row until it was read. */
  readonly freshness: Latency
  readonly peak_rss_mb: Readonly<Record<string, number>>
}

const partitions = 4
const rowsPerTable = 100
const idleSeconds = 20
const busySeconds = 60
const changesPerCommit = 10
const probeEveryMs = 250
const readEveryMs = 50
const askEveryMs = 100
/** Searched rows have ids from here on. */
const firstProbe = 1_000_000

const tableName = (index: number) => `t${String(index).padStart(4, '0')}`

export async function measureWide({ rate, tables }: { rate: number; tables: number }): Promise<WideResult> {
  const stack = await openBenchStack()
  try {
    await makeTables(stack, tables)
    const pipeline = new Pipeline(stack, 'wide', { tables: { 'wide.*': {} }, kafka: { partitions } })
    try {
      const loaded = await timeLoad(pipeline)
      await pipeline.stop()
      const resumed = await timeResume(stack, pipeline)
      const idle_cpu = await cpuDuring(stack, pipeline, () => sleep(idleSeconds * 1000))
      let change: Changes | undefined
      const busy_cpu = await cpuDuring(stack, pipeline, async () => {
        change = await measureChanges(stack, rate, tables)
      })
      const peak_rss_mb = mapValues(useOfAll(stack, pipeline), ({ peakRssMb }) => peakRssMb)
      return { tables, partitions, rate, ...change!, start_s: { loaded, ...resumed }, idle_cpu, busy_cpu, peak_rss_mb }
    } finally {
      await pipeline.stop()
    }
  } finally {
    await stack.close()
  }
}

async function makeTables({ sql }: BenchStack, tables: number): Promise<void> {
  await query(sql, 'CREATE SCHEMA wide')
  for (let index = 0; index < tables; index++) {
    const table = `wide.${tableName(index)}`
    await query(
      sql,
      `CREATE TABLE ${table} (id int PRIMARY KEY, value int NOT NULL, note text, changed_at timestamptz NOT NULL DEFAULT now());
      ALTER TABLE ${table} REPLICA IDENTITY FULL;
      INSERT INTO ${table} SELECT i, 0, 'row ' || i FROM generate_series(1, ${rowsPerTable}) AS i`,
    )
  }
}

async function timeLoad(pipeline: Pipeline): Promise<number> {
  const started = performance.now()
  pipeline.start()
  await poll('the initial load', async () => (await pipeline.consumerStatus())?.watermark !== undefined, askEveryMs)
  return secondsSince(started)
}

async function timeResume({ sql }: BenchStack, pipeline: Pipeline): Promise<{ streaming: number; visible: number }> {
  const started = performance.now()
  pipeline.start()
  const isStreaming = async () => (await pipeline.producerStatus<ProducerStatus>())?.phase === 'streaming'
  await poll('the stream', isStreaming, askEveryMs)
  const streaming = secondsSince(started)
  await query(sql, `UPDATE wide.${tableName(0)} SET value = value + 1 WHERE id = 1`)
  const [now] = await query<{ lsn: string }>(sql, 'SELECT pg_current_wal_insert_lsn()::text AS lsn')
  const target = parseLsn(now!.lsn)
  await poll('a change', async () => ((await pipeline.consumerStatus())?.watermark?.lsn ?? 0) >= target, askEveryMs)
  return { streaming, visible: secondsSince(started) }
}

/** CPU-seconds per second of every process during the work. */
async function cpuDuring(
  stack: BenchStack,
  pipeline: Pipeline,
  work: () => Promise<unknown>,
): Promise<Record<string, number>> {
  const before = useOfAll(stack, pipeline)
  const started = performance.now()
  await work()
  const seconds = secondsSince(started)
  const share = (now: number, name: string) => Math.round(((now - before[name]!.cpuSeconds) / seconds) * 1000) / 1000
  return mapValues(useOfAll(stack, pipeline), ({ cpuSeconds }, name) => share(cpuSeconds, name))
}

interface Changes {
  readonly written_per_s: number
  readonly freshness: Latency
}

/** Periodically a commit contains a row that the reader searches for in ClickHouse. */
interface Probe {
  readonly table: number
  readonly id: number
  readonly committedAt: number
}

async function measureChanges(stack: BenchStack, rate: number, tables: number): Promise<Changes> {
  const writer = await connect(stack.postgresUrl)
  const open = new Map<number, Probe>()
  const latencies: number[] = []
  const started = performance.now()
  let changes = 0
  let isOver = false
  const write = async () => {
    let probes = 0
    while (secondsSince(started) < busySeconds) {
      if (changes >= rate * secondsSince(started)) {
        await sleep(1)
        continue
      }
      const isProbe = performance.now() - started >= probes * probeEveryMs
      const touched = Array.from({ length: changesPerCommit }, () => Math.floor(Math.random() * tables))
      const id = firstProbe + probes
      await query(
        writer,
        touched.map((table, index) => (isProbe && index === 0 ? probeIn(table, id) : changeIn(table))).join(';'),
      )
      if (isProbe) open.set(id, { table: touched[0]!, id, committedAt: performance.now() })
      probes += isProbe ? 1 : 0
      changes += changesPerCommit
    }
    isOver = true
  }
  const read = async () => {
    while (!isOver || open.size > 0) {
      for (const id of await visible(stack, [...open.values()])) {
        latencies.push(performance.now() - open.get(id)!.committedAt)
        open.delete(id)
      }
      await sleep(readEveryMs)
    }
  }
  await Promise.all([write(), read()])
  await writer.end()
  return { written_per_s: Math.round(changes / busySeconds), freshness: summarize(latencies) }
}

function changeIn(table: number): string {
  const id = 1 + Math.floor(Math.random() * rowsPerTable)
  return `UPDATE wide.${tableName(table)} SET value = value + 1, changed_at = now() WHERE id = ${id}`
}

function probeIn(table: number, id: number): string {
  return `INSERT INTO wide.${tableName(table)} (id, value) VALUES (${id}, 0)`
}

async function visible({ clickhouse }: BenchStack, probes: readonly Probe[]): Promise<number[]> {
  if (probes.length === 0) return []
  const each = probes.map(
    ({ table, id }) =>
      `SELECT toUInt32(id) AS id FROM wide_1.\`wide.${tableName(table)}.current\` WHERE id = ${id} LIMIT 1`,
  )
  return (await clickhouse.rows<{ id: number }>(each.join(' UNION ALL '))).map(({ id }) => id)
}

function secondsSince(started: number): number {
  return Math.round(performance.now() - started) / 1000
}
