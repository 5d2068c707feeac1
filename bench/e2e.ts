// bench/e2e: a backlog of 1 M inserts, then of 1 M updates, with and without the sales model.
// Each backlog is written while no service runs, so that only the pipeline is measured.

import { publicationName } from '../contract/generation.ts'
import { applySchema } from '../generator/database/schema.ts'
import { query } from '../postgres/client/client.ts'
import { dropSlot } from '../postgres/replication/slot.ts'
import { drainWalsender, insertPlain, type Limits, produceWithBroker } from './limits.ts'
import {
  type BenchStack,
  mapValues,
  openBenchStack,
  Pipeline,
  pidsOf,
  poll,
  salesSettings,
  useOfAll,
} from './pipeline.ts'
import { resetPeak } from './processes.ts'
import { insertOrders, itemsPerOrder, seedReferences } from './sales-rows.ts'

interface Load {
  readonly rows_per_s: number
  readonly cpu_s_per_million: Readonly<Record<string, number>>
  readonly peak_rss_mb: Readonly<Record<string, number>>
}

export interface EndToEnd {
  readonly plain: { readonly insert: Load; readonly update: Load }
  readonly model: { readonly insert: Load; readonly update: Load }
  readonly limits: Limits
}

/** A backlog: how to write it, and how to check in ClickHouse that all of it is visible. */
interface Workload {
  readonly pipeline: Pipeline
  /** Statements, one transaction each, and the number of their row changes. */
  readonly insert: { readonly statements: readonly string[]; readonly changes: number }
  readonly update: { readonly statements: readonly string[]; readonly changes: number }
  readonly changelogs: readonly string[]
}

const million = 1_000_000
const perTransaction = 10_000
const limitSlot = 'bench_limit'

export async function measureEndToEnd(): Promise<EndToEnd> {
  const stack = await openBenchStack()
  try {
    const plain = await measureWorkload(stack, await plainWorkload(stack), true)
    const limits: Limits = {
      walsender_rows_per_s: await drainWalsender(stack, limitSlot, publicationName('bench_plain', 1)),
      broker_records_per_s: await produceWithBroker(stack),
      plain_insert_rows_per_s: await insertPlain(stack, 'bench_plain_1.`bench.orders.changelog`'),
    }
    const model = await measureWorkload(stack, await modelWorkload(stack), false)
    return { plain, model, limits }
  } finally {
    await stack.close()
  }
}

async function plainWorkload(stack: BenchStack): Promise<Workload> {
  await query(
    stack.sql,
    `CREATE SCHEMA bench; CREATE TABLE bench.orders (order_id bigint PRIMARY KEY, customer_id int NOT NULL, territory_id int NOT NULL,
      employee_id int, status text NOT NULL, price numeric(15,2) NOT NULL, ordered_at timestamptz NOT NULL, note text);
    ALTER TABLE bench.orders REPLICA IDENTITY FULL`,
  )
  const ranges = Array.from({ length: million / perTransaction }, (_, index) => index * perTransaction)
  return {
    pipeline: new Pipeline(stack, 'bench_plain', { tables: { 'bench.*': {} } }),
    insert: {
      changes: million,
      statements: ranges.map(
        from => `INSERT INTO bench.orders SELECT i, i % 10000, i % 50, i % 300, 'created', (i % 100000) / 100.0, now(), 'note ' || i
          FROM generate_series(${from}, ${from + perTransaction - 1}) AS i`,
      ),
    },
    update: {
      changes: million,
      statements: ranges.map(
        from =>
          `UPDATE bench.orders SET status = 'paid', price = price + 1 WHERE order_id >= ${from} AND order_id < ${from + perTransaction}`,
      ),
    },
    changelogs: ['bench_plain_1.`bench.orders.changelog`'],
  }
}

async function modelWorkload(stack: BenchStack): Promise<Workload> {
  await applySchema(stack.postgresUrl, stack.log)
  await seedReferences(stack.sql)
  const orders = million / (1 + itemsPerOrder)
  const perStatement = perTransaction / (1 + itemsPerOrder)
  const ranges = Array.from({ length: orders / perStatement }, (_, index) => 1 + index * perStatement)
  const within = (from: number) => `order_id >= ${from} AND order_id < ${from + perStatement}`
  return {
    pipeline: new Pipeline(stack, 'bench_model', salesSettings()),
    insert: { changes: million, statements: ranges.map(() => insertOrders(perStatement)) },
    update: {
      changes: million,
      statements: ranges.map(
        from => `WITH touched AS (UPDATE shop.orders SET ordered_at = ordered_at - interval '1 day' WHERE ${within(from)})
          UPDATE shop.order_items SET quantity = quantity + 1 WHERE ${within(from)}`,
      ),
    },
    changelogs: ['bench_model_1.`shop.orders.changelog`', 'bench_model_1.`shop.order_items.changelog`'],
  }
}

async function measureWorkload(stack: BenchStack, workload: Workload, keepsSlot: boolean) {
  const { pipeline } = workload
  try {
    pipeline.start()
    await pipeline.untilLoaded()
    await pipeline.stop()
    if (keepsSlot) await query(stack.sql, `SELECT pg_create_logical_replication_slot('${limitSlot}', 'pgoutput')`)
    const insert = await drain(stack, workload, { ...workload.insert, images: 1 })
    const update = await drain(stack, workload, { ...workload.update, images: 2 })
    return { insert, update }
  } finally {
    await pipeline.stop()
    if (!keepsSlot) await dropSlot(stack.sql, `${pipeline.name}_1`)
  }
}

/**
 * Writes the backlog with the services stopped, starts them, and measures until the last row is
 * visible.
 */
async function drain(
  stack: BenchStack,
  { pipeline, changelogs }: Workload,
  backlog: { statements: readonly string[]; changes: number; images: number },
): Promise<Load> {
  const rows = async () => {
    const counts = changelogs.map(table => `(SELECT count() FROM ${table})`).join(' + ')
    return Number((await stack.clickhouse.rows<{ n: string }>(`SELECT ${counts} AS n`))[0]!.n)
  }
  const before = await rows()
  for (const statement of backlog.statements) await query(stack.sql, statement)
  pipeline.startConsumer()
  await poll('the consumer', async () => ((await pipeline.consumerStatus())?.generation ?? 0) > 0)
  pipeline.startProducer()
  await poll('the first rows', async () => (await rows()) > before)
  // The services have started; only the pipeline is measured from here on.
  const from = { at: performance.now(), rows: (await rows()) - before, use: useOfAll(stack, pipeline) }
  for (const pid of Object.values(pidsOf(stack, pipeline))) resetPeak(pid)
  const target = before + backlog.changes * backlog.images
  await poll('the whole backlog', async () => (await rows()) >= target)
  const seconds = (performance.now() - from.at) / 1000
  const use = useOfAll(stack, pipeline)
  const changes = backlog.changes - from.rows / backlog.images
  await pipeline.stop()
  return {
    rows_per_s: Math.round(changes / seconds),
    cpu_s_per_million: mapValues(use, (now, name) =>
      round(((now.cpuSeconds - from.use[name]!.cpuSeconds) / changes) * million),
    ),
    peak_rss_mb: mapValues(use, ({ peakRssMb }) => peakRssMb),
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
