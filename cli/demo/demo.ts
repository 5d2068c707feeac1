// cli/demo/demo: the whole pipeline on this machine: servers, history, services, changes, result.
// Each service runs in its own process, as in production.

import type { Command } from 'commander'
import { connectClickhouse } from '../../clickhouse/client.ts'
import type { ConsumerStatus } from '../../consumer/status.ts'
import { backfill } from '../../generator/database/backfill.ts'
import { applySchema, countOrders } from '../../generator/database/schema.ts'
import type { Config } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { packagePath } from '../../runtime/files.ts'
import { exitCodes } from '../../runtime/lifecycle.ts'
import { askStatus } from '../../runtime/service-discovery.ts'
import { sleep } from '../../runtime/wait.ts'
import { down } from '../../stack/up.ts'
import { type Verification, verify } from '../../verify/verify.ts'
import { type Child, failWithChild, sameConfiguration, startChild } from '../child-process.ts'
import { type CommandContext, printJson, runs } from '../command.ts'
import { allComponents, resolveServers, type Services } from '../servers.ts'
import { exitCodeOf, title } from '../verify.ts'
import { DemoScreen, type DemoView } from './demo-screen.ts'

interface DemoOptions {
  readonly once?: true
  readonly json?: true
  readonly rate: string
  readonly orders: string
  readonly seconds: string
  readonly config?: string
  readonly set?: Readonly<Record<string, string>>
}

const salesConfig = packagePath('model/sales/millrace.yaml')
const years = 2
const seed = 1
const loadTimeoutMs = 240_000

export function demoCommand(program: Command): void {
  program
    .command('demo')
    .description(
      'run the whole pipeline on this machine: load two years of sales, then stream changes into the reports',
    )
    .option('--once', 'stop after some seconds of changes, and verify the result')
    .option('--json', 'with --once: print the result as one JSON object')
    .option('--rate <changes>', 'row changes per second', '1000')
    .option('--orders <count>', 'orders to load before the changes start', '100000')
    .option('--seconds <count>', 'with --once: seconds of changes', '30')
    .action(runs<DemoOptions>('demo', runDemo, { config: salesConfig, data: '.millrace' }))
}

async function runDemo(context: CommandContext, options: DemoOptions): Promise<number> {
  const started = performance.now()
  const { config, log, lifecycle } = context
  const services = await resolveServers(config, log, lifecycle.signal, allComponents)
  lifecycle.opened('stack', () => down(config.directory, log))
  await loadHistory(services, context, Number(options.orders))
  const common = sameConfiguration({ config: salesConfig, ...options, directory: config.directory })
  const start = (name: string, ...args: string[]): Child => {
    const child = startChild(name, [...common, ...args], config.directory)
    lifecycle.opened(name, () => child.stop())
    return child
  }
  const workers = [start('consumer', 'consumer'), start('producer', 'producer')]
  const failed = failWithChild(workers, config.directory)
  const seconds = () => (performance.now() - started) / 1000
  await Promise.race([failed, untilLoaded(context)])
  log.info('history is in ClickHouse', { seconds: Math.round(seconds()) })
  const generator = start('generator', 'generator', 'run', '--rate', options.rate, '--seed', String(seed), '--json')
  const demo: Demo = { context, services, seconds }
  if (!options.once) {
    await Promise.race([failed, failWithChild([generator], config.directory), watch(demo)])
    return exitCodes.ok
  }
  await Promise.race([failed, failWithChild([generator], config.directory), watch(demo, Number(options.seconds))])
  return Promise.race([failed, finish(demo, generator, options.json === true)])
}

interface Demo {
  readonly context: CommandContext
  readonly services: Services
  readonly seconds: () => number
}

async function loadHistory(services: Services, { log }: CommandContext, orders: number): Promise<void> {
  await applySchema(services.postgres, log)
  if ((await countOrders(services.postgres)) > 0) return
  const loaded = await backfill({ url: services.postgres, orders, years, seed, log })
  log.info('history is in Postgres', {
    orders: loaded.orders,
    items: loaded.items,
    seconds: Math.round(loaded.seconds),
  })
}

/** The first visible watermark means that the whole initial load is in ClickHouse. */
async function untilLoaded({ config, lifecycle }: CommandContext): Promise<void> {
  const deadline = performance.now() + loadTimeoutMs
  while (!lifecycle.signal.aborted) {
    const status = await askStatus<ConsumerStatus>(config.directory, config.name, 'consumer')
    if (status?.watermark !== undefined) return
    if (performance.now() > deadline) {
      throw new MillraceError('TIMED_OUT', {
        what: `the history was not in ClickHouse after ${loadTimeoutMs / 1000} s`,
        next: `look at the logs in ${config.directory}/log`,
      })
    }
    await sleep(200, lifecycle.signal).catch(() => {})
  }
}

/** Draws until the signal, or for `seconds`. */
async function watch({ context, services, seconds }: Demo, limit = Number.POSITIVE_INFINITY): Promise<void> {
  const { config, lifecycle } = context
  const screen = new DemoScreen()
  const clickhouse = connectClickhouse(services.clickhouse)
  lifecycle.opened('screen', () => clickhouse.close())
  const from = performance.now()
  let last = { at: from, changes: 0 }
  while (!lifecycle.signal.aborted && performance.now() - from < limit * 1000) {
    const status = await askStatus<ConsumerStatus>(config.directory, config.name, 'consumer')
    const now = performance.now()
    const changes = status?.changes ?? last.changes
    const changesPerSecond = ((changes - last.changes) * 1000) / Math.max(1, now - last.at)
    last = { at: now, changes }
    const reports = await readReports(clickhouse.rows)
    screen.draw({
      seconds: seconds(),
      endpoints: endpointLines(config, services),
      changesPerSecond,
      changes,
      freshness: status?.freshness,
      ...reports,
      next: nextSteps(services),
    })
    await sleep(1000, lifecycle.signal).catch(() => {})
  }
}

async function readReports(rows: <Row>(sql: string) => Promise<Row[]>): Promise<Pick<DemoView, 'today' | 'best'>> {
  const [today] = await rows<Record<string, string>>(
    `SELECT total_orders, total_items_sold, ${['revenue', 'cost', 'profit'].map(name => `toDecimalString(total_${name}, 2) AS total_${name}`).join(', ')},
  toDecimalString(average_order_value, 2) AS average_order_value FROM analytics.daily_sales_stats WHERE date = today()`,
  )
  const best = await rows<DemoView['best'][number]>(
    `SELECT territory_name AS territory, rank, customer_name AS customer, orders, toDecimalString(revenue, 2) AS revenue
FROM analytics.territory_top_customers WHERE rank <= 2 AND sales_territory_id <= 4 ORDER BY sales_territory_id, rank`,
  )
  return { today, best }
}

async function finish({ context, services, seconds }: Demo, generator: Child, asJson: boolean): Promise<number> {
  const { config, log, lifecycle } = context
  const status = await askStatus<ConsumerStatus>(config.directory, config.name, 'consumer')
  await generator.stop()
  const { changes } = JSON.parse(generator.lastLine()) as { changes: number }
  const verification = await verify({ config, services, log, signal: lifecycle.signal })
  const result = demoResult(verification, { seconds: Math.round(seconds()), freshness_ms: status?.freshness, changes })
  if (asJson) printJson(result)
  else process.stdout.write(`${title(verification)} after ${result.seconds} s and ${changes} changes\n`)
  return exitCodeOf(verification)
}

function demoResult(verification: Verification, run: { seconds: number; freshness_ms: unknown; changes: number }) {
  const tables = Object.entries(verification.tables).map(([name, { postgres, clickhouse }]) => [
    name,
    { postgres, clickhouse },
  ])
  const reports = Object.entries(verification.reports).map(([name, { rows, differing }]) => [name, { rows, differing }])
  return {
    ok: verification.ok,
    seconds: run.seconds,
    tables: Object.fromEntries(tables) as Record<string, { postgres: number; clickhouse: number }>,
    reports: Object.fromEntries(reports) as Record<string, { rows: number; differing: number }>,
    freshness_ms: run.freshness_ms,
    changes: run.changes,
  }
}

function endpointLines(config: Config, services: Services): Record<string, string> {
  return {
    Postgres: services.postgres,
    Kafka: services.kafka.brokers.join(','),
    ClickHouse: services.clickhouse.url,
    logs: `${config.directory}/log`,
  }
}

function nextSteps(services: Services): string[] {
  return [
    `psql ${services.postgres} -c "DELETE FROM shop.orders WHERE order_id = 1"`,
    `curl ${services.clickhouse.url} -d 'SELECT * FROM analytics.daily_sales_stats ORDER BY date DESC LIMIT 7 FORMAT Pretty'`,
    'npm run -s millrace -- verify --config model/sales/millrace.yaml --data .millrace',
    'Ctrl-C stops everything; the data stays, and the next demo continues with it',
  ]
}
