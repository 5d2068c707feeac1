// bench/freshness: time from a commit in Postgres until the change is visible, at a given rate.
// Measures from outside, with a writer and a reader, in a table and in an aggregate.

import { applySchema } from '../generator/database/schema.ts'
import { type Client, connect, query } from '../postgres/client/client.ts'
import { sleep } from '../runtime/wait.ts'
import { type BenchStack, openBenchStack, Pipeline, salesSettings } from './pipeline.ts'
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
  /** Milliseconds from the commit of a delivered order until it was read. */
  readonly table: Latency
  readonly aggregate: Latency
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
      return await measure(stack, rate)
    } finally {
      await pipeline.stop()
    }
  } finally {
    await stack.close()
  }
}

async function measure(stack: BenchStack, rate: number): Promise<FreshnessResult> {
  /** commits[n]: time at which the commit of the n-th order returned. */
  const commits: number[] = []
  const writer = await connect(stack.postgresUrl)
  const writing = write(writer, rate, commits, performance.now())
  const [latencies] = await Promise.all([watch(stack, commits, writing.ended), writing.done])
  await writer.end()
  const written = Math.round((commits.length * changesPerOrder) / seconds)
  return { rate, written_per_s: written, table: summarize(latencies.table), aggregate: summarize(latencies.aggregate) }
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

/** One query reads both, because reading uses CPU time of the measured machine. */
const reading =
  "SELECT (SELECT count() FROM fresh_1.`shop.orders.current`) AS rows, (SELECT sum(orders) FROM fresh_1.sales_cube WHERE grain = 'day') AS counted"
const readEveryMs = 10

/** Latency of every order: from its commit to the first reading that counts it. */
async function watch({ clickhouse }: BenchStack, commits: readonly number[], ended: () => boolean) {
  const latencies = { table: [] as number[], aggregate: [] as number[] }
  const isOver = (of: readonly number[]) => ended() && of.length === commits.length
  while (!(isOver(latencies.table) && isOver(latencies.aggregate))) {
    const [row] = await clickhouse.rows<{ rows: string; counted: string }>(reading)
    const now = performance.now()
    take(latencies.table, Number(row!.rows))
    take(latencies.aggregate, Number(row!.counted))
    await sleep(readEveryMs)

    function take(of: number[], visible: number) {
      while (of.length < Math.min(visible, commits.length)) of.push(now - commits[of.length]!)
    }
  }
  return latencies
}

export function summarize(latencies: readonly number[]): Latency {
  const sorted = [...latencies].sort((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!)
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}
