// bench/freshness: time from a commit in Postgres until the change is visible, at a given rate.
// Measures from outside, with a writer and three readers: of a table, of an aggregate that is
// folded often, and of another aggregate.

import { applySchema } from '../generator/database/schema.ts'
import { type Client, connect, query } from '../postgres/client/client.ts'
import { sleep } from '../runtime/wait.ts'
import { type BenchStack, mapValues, openBenchStack, Pipeline, salesSettings, useOfAll } from './pipeline.ts'
import { insertOrders, itemsPerOrder, seedReferences } from './sales-rows.ts'

export interface Latency {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface FreshnessResult {
  /** Requested row changes per second. */
  readonly rate: number
  /** Reached row changes per second. */
  readonly written_per_s: number
  /** Milliseconds from the commit of a delivered order until it was read, by what was read. */
  readonly latency: Readonly<Record<string, Latency>>
  /** CPU milliseconds per 1,000 changes, by process. Those of ClickHouse contain the readers. */
  readonly cpu_ms_per_1000: Readonly<Record<string, number>>
}

const seconds = 20
const commitsPerSecond = 100
const changesPerOrder = 1 + itemsPerOrder

export async function measureFreshness(rate: number): Promise<FreshnessResult> {
  const stack = await openBenchStack()
  try {
    await applySchema(stack.postgresUrl, stack.log)
    await seedReferences(stack.sql)
    const pipeline = new Pipeline(stack, 'fresh', salesSettings())
    try {
      pipeline.start()
      await pipeline.untilLoaded()
      return await measure(stack, pipeline, rate)
    } finally {
      await pipeline.stop()
    }
  } finally {
    await stack.close()
  }
}

async function measure(stack: BenchStack, pipeline: Pipeline, rate: number): Promise<FreshnessResult> {
  /** commits[n]: time at which the commit of the n-th order returned. */
  const commits: number[] = []
  const writer = await connect(stack.postgresUrl)
  const before = useOfAll(stack, pipeline)
  const writing = write(writer, rate, commits, performance.now())
  const watched = Object.entries(readings).map(async ([name, reading]) => {
    const latencies = await watch(stack, reading, { commits, ended: writing.ended })
    return [name, summarize(latencies)] as const
  })
  const [latency] = await Promise.all([Promise.all(watched), writing.done])
  await writer.end()
  const changes = commits.length * changesPerOrder
  const cpu_ms_per_1000 = mapValues(useOfAll(stack, pipeline), ({ cpuSeconds }, name) =>
    Math.round(((cpuSeconds - before[name]!.cpuSeconds) * 1e6) / changes),
  )
  const written_per_s = Math.round(changes / seconds)
  return { rate, written_per_s, latency: Object.fromEntries(latency), cpu_ms_per_1000 }
}

function write(writer: Client, rate: number, commits: number[], started: number) {
  let isOver = false
  const ordersPerCommit = Math.max(1, Math.round(rate / changesPerOrder / commitsPerSecond))
  const statement = insertOrders(ordersPerCommit)
  const done = (async () => {
    while (performance.now() - started < seconds * 1000) {
      const due = (rate * (performance.now() - started)) / 1000
      if (commits.length * changesPerOrder >= due) {
        await sleep(1)
        continue
      }
      await query(writer, statement)
      const now = performance.now()
      for (let index = 0; index < ordersPerCommit; index++) commits.push(now)
    }
    isOver = true
  })()
  return { done, ended: () => isOver }
}

interface Reading {
  /** The number of orders that can be read. */
  readonly sql: string
  /** Pause between two readings. Each one costs CPU time of the measured machine. */
  readonly everyMs: number
}

const unitsPerOrder = 9
const readings: Readonly<Record<string, Reading>> = {
  table: { sql: 'SELECT count() AS n FROM fresh_1.`shop.orders.current`', everyMs: 30 },
  fresh: { sql: "SELECT sum(orders) AS n FROM fresh_1.sales_fresh WHERE grain = 'day'", everyMs: 60 },
  other: {
    sql: `SELECT intDiv(sum(units), ${unitsPerOrder}) AS n FROM fresh_1.sales_cube WHERE grain = 'product_month'`,
    everyMs: 150,
  },
}

/**
 * Latency of every order: from its commit to the middle between the first reading that counts it
 * and the one before.
 */
async function watch(
  { clickhouse }: BenchStack,
  { sql, everyMs }: Reading,
  { commits, ended }: { commits: readonly number[]; ended: () => boolean },
): Promise<number[]> {
  const latencies: number[] = []
  let before = performance.now()
  while (!(ended() && latencies.length === commits.length)) {
    const [row] = await clickhouse.rows<{ n: string }>(sql)
    const now = performance.now()
    const visible = Math.min(Number(row!.n), commits.length)
    while (latencies.length < visible) {
      const commit = commits[latencies.length]!
      latencies.push((now + Math.max(before, commit)) / 2 - commit)
    }
    before = now
    await sleep(everyMs)
  }
  return latencies
}

export function summarize(latencies: readonly number[]): Latency {
  const sorted = [...latencies].sort((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!)
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}
