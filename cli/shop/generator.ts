// cli/shop/generator: `millrace generator schema | backfill | run`: the demo's shop.

import { join } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { Orders } from '../../generator/api/orders.ts'
import { backfill } from '../../generator/database/backfill.ts'
import { openPool } from '../../generator/database/pool.ts'
import { applySchema, countOrders, ensureTable } from '../../generator/database/schema.ts'
import { generateOnce } from '../../generator/live/generate-batch.ts'
import { RateLimiter } from '../../generator/live/rate-limiter.ts'
import { generate } from '../../generator/live/run.ts'
import { Control } from '../../generator/live/run-control.ts'
import { follow, parseSchedule } from '../../generator/live/schedule.ts'
import { Imports } from '../../import/queue.ts'
import { announce, withdraw } from '../../runtime/service-discovery.ts'
import { type CommandContext, printLine, runs, wholeNumber } from '../command.ts'
import { sourceUrl } from '../servers.ts'

interface Common {
  readonly seed: number
  readonly json?: true
}

/** Registers `generator` with its three subcommands. */
export function generatorCommand(program: Command): void {
  const generator = program
    .command('generator')
    .description('create an invented shop chain in Postgres and simulate its daily life')
  const subcommand = (name: string, description: string) => generator.command(name).description(description)

  subcommand('schema', 'create the tables of the shop that do not exist yet').action(
    runs<Common>('generator', async context => applySchema(await sourceUrl(context), context.log)),
  )

  subcommand('backfill', 'fill the empty shop with reference data and years of orders and visits')
    .option('--orders <count>', 'orders to create', wholeNumber, 100_000)
    .option('--years <count>', 'years over which the orders are spread', wholeNumber, 2)
    .option('--visits-per-order <count>', 'visits of the online shop per order', positive, 1)
    .option('--seed <number>', 'the same seed creates the same history', wholeNumber, 1)
    .option('--if-empty', 'do nothing and exit with 0 if the shop already has orders')
    .option('--json', 'print the numbers of created rows as one line of JSON')
    .action(runs('generator', runBackfill))

  subcommand('run', 'let customers order, pay, cancel and return goods, until it is stopped')
    .option('--rate <changes>', 'row changes per second (default: 1000; none with --every)', Number)
    .option('--burst-factor <factor>', 'multiply the rate by this factor during periodic bursts', positive)
    .option('--burst-seconds <count>', 'seconds that a burst lasts', positive, 5)
    .option('--burst-every <count>', 'seconds from the start of one burst to the start of the next', positive, 60)
    .option('--every <schedule>', 'create orders on a schedule: an interval such as 15m, or a cron expression in UTC')
    .option('--orders <count>', 'with --every: orders created each time', wholeNumber, 200)
    .addOption(
      new Option('--http <port>', 'serve the HTTP API on this port; 0 takes a free port').argParser(wholeNumber),
    )
    .option('--seed <number>', 'the same seed makes the same changes', wholeNumber, 1)
    .option('--json', 'at the end, print the number of row changes as one line of JSON')
    .action(runs('generator', runLife))
}

async function runBackfill(
  context: CommandContext,
  options: Common & {
    readonly orders: number
    readonly years: number
    readonly visitsPerOrder: number
    readonly ifEmpty?: true
  },
): Promise<void> {
  const { orders, years, visitsPerOrder, seed, ifEmpty, json } = options
  const url = await sourceUrl(context)
  if (ifEmpty && (await countOrders(url)) > 0) return
  await applySchema(url, context.log)
  const onProgress = (rows: number) => context.log.debug('writing history', { rows })
  const written = await backfill({ url, orders, years, visitsPerOrder, seed, log: context.log, onProgress })
  if (json) printLine(written)
}

interface RunOptions extends Common {
  readonly rate?: number
  readonly burstFactor?: number
  readonly burstSeconds: number
  readonly burstEvery: number
  readonly every?: string
  readonly orders: number
  readonly http?: number
}

const usualRate = 1000

async function runLife(context: CommandContext, options: RunOptions): Promise<void> {
  const { log, lifecycle } = context
  const { rate, burstFactor: factor, burstSeconds, burstEvery, every, orders, seed, http, json } = options
  const schedule = every === undefined ? undefined : parseSchedule(every)
  const bursts = factor === undefined ? undefined : { factor, seconds: burstSeconds, every: burstEvery }
  const control = new Control(new RateLimiter(rate ?? usualRate, bursts))
  control.limiter.paused = schedule !== undefined && rate === undefined
  const url = await sourceUrl(context)
  if (http !== undefined) await openApi(context, { url, control, seed, port: http })
  const scheduled =
    schedule &&
    follow(
      schedule,
      async () =>
        generateOnce({
          url,
          kind: 'order',
          count: orders,
          seed: Date.now(),
          from: 'schedule',
          log,
          signal: lifecycle.signal,
        }),
      { log, signal: lifecycle.signal },
    )
  const onTick = ({ changes, orders, perSecond }: { changes: number; orders: number; perSecond: number }) =>
    log.info('shop', { changes, orders, perSecond: Math.round(perSecond) })
  const living = generate({ url, control, seed, log, signal: lifecycle.signal, onTick })
  const [result] = await Promise.all([living, scheduled])
  if (json) printLine(result)
}

async function openApi(
  { config, log, lifecycle }: CommandContext,
  { url, control, seed, port }: { url: string; control: Control; seed: number; port: number },
): Promise<void> {
  await ensureTable(url, 'generator.idempotency_keys', log)
  const pool = openPool(url)
  lifecycle.opened('connections', () => pool.close())
  const orders = new Orders(pool, seed, log)
  lifecycle.opened('orders', () => orders.close())
  // Loaded only here, because loading takes a third of a second.
  const { serveApi } = await import('../../generator/api/server.ts')
  const imports = new Imports({ url, directory: join(config.directory, 'imports'), log, signal: lifecycle.signal })
  const server = await serveApi({ host: config.http.host, port, orders, imports, control, log })
  lifecycle.opened('HTTP API', () => server.close())
  announce(config.directory, config.name, 'generator', server.url)
  lifecycle.opened('service address', () => withdraw(config.directory, config.name, 'generator'))
  log.info('HTTP API', { url: server.url, try: `${server.url}/docs` })
}

function positive(text: string): number {
  const number = Number(text)
  if (!(number > 0 && Number.isFinite(number))) throw new InvalidArgumentError('It must be a number above 0.')
  return number
}
