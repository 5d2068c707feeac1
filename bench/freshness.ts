// bench/freshness: commit in Postgres → visible in ClickHouse, in a table and in an aggregate, at a given rate.
// May know: bench/pipeline, generator/schema. Measured from outside: only a writer and a reader, no figure of millrace's own.

import { applySchema } from '../generator/schema.ts'
import { type Client, connect, query } from '../postgres/connect.ts'
import { packagePath } from '../runtime/package.ts'
import { type BenchStack, openBenchStack, Pipeline } from './pipeline.ts'
import { insertOrders, itemsPerOrder, seedReferences } from './sales-rows.ts'

export interface Latency {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface FreshnessResult {
  /** Row changes per second that were asked for. */
  readonly rate: number
  /** And that the writer managed. */
  readonly written_per_s: number
  /** Milliseconds from the commit of a delivered order to its being read. */
  readonly table: Latency
  readonly aggregate: Latency
}

const salesModel = packagePath('model/sales')
const seconds = 20
const ordersPerCommit = 5
const changesPerOrder = 1 + itemsPerOrder
const writeOrders = insertOrders(ordersPerCommit)

export async function measureFreshness(rate: number): Promise<FreshnessResult> {
  const stack = await openBenchStack()
  try {
    await applySchema(stack.postgresUrl, stack.log)
    await seedReferences(stack.sql)
    const tables = {
      'shop.*': {},
      'shop.orders': { group: 'sales', partitionKey: ['order_id'] },
      'shop.order_items': { group: 'sales', partitionKey: ['order_id'] },
    }
    const pipeline = new Pipeline(stack, 'fresh', { tables, model: salesModel })
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
  /** commits[n] = when the transaction that made the n-th order returned. */
  const commits: number[] = []
  const writer = await connect(stack.postgresUrl)
  const started = performance.now()
  const writing = write(writer, rate, commits, started)
  const table = watch(commits, writing.ended, () =>
    one(stack, 'SELECT count() AS n FROM fresh_1.`shop.orders.current`'),
  )
  const aggregate = watch(commits, writing.ended, () => one(stack, 'SELECT sum(orders) AS n FROM fresh_1.daily_sales'))
  const results = await Promise.all([table, aggregate, writing.done])
  await writer.end()
  const written = Math.round((commits.length * changesPerOrder) / seconds)
  return { rate, written_per_s: written, table: summarize(results[0]), aggregate: summarize(results[1]) }
}

function write(writer: Client, rate: number, commits: number[], started: number) {
  let isOver = false
  const done = (async () => {
    while (performance.now() - started < seconds * 1000) {
      const due = (rate * (performance.now() - started)) / 1000
      if (commits.length * changesPerOrder >= due) {
        await new Promise(resolve => setTimeout(resolve, 1))
        continue
      }
      await query(writer, writeOrders)
      const now = performance.now()
      for (let index = 0; index < ordersPerCommit; index++) commits.push(now)
    }
    isOver = true
  })()
  return { done, ended: () => isOver }
}

/** Latency of every order: from its commit to the first reading that counts it. Only inserts flow, so a count is enough. */
async function watch(commits: readonly number[], ended: () => boolean, read: () => Promise<number>): Promise<number[]> {
  const latencies: number[] = []
  const base = await read()
  while (!(ended() && latencies.length === commits.length)) {
    const visible = (await read()) - base
    const now = performance.now()
    while (latencies.length < Math.min(visible, commits.length)) latencies.push(now - commits[latencies.length]!)
    await new Promise(resolve => setTimeout(resolve, 4))
  }
  return latencies
}

async function one({ clickhouse }: BenchStack, sql: string): Promise<number> {
  const [row] = await clickhouse.rows<{ n: string }>(sql)
  return Number(row!.n)
}

function summarize(latencies: readonly number[]): Latency {
  const sorted = [...latencies].sort((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!)
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}
