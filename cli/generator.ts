// cli/generator: `millrace generator schema | backfill | run`, which make up the demo's shop.
// May know: generator, stack, runtime.

import { type Command, InvalidArgumentError } from 'commander'
import { backfill } from '../generator/backfill.ts'
import { Control } from '../generator/control.ts'
import { Pace } from '../generator/pace.ts'
import { generate } from '../generator/run.ts'
import { applySchema, countOrders } from '../generator/schema.ts'
import { up } from '../stack/up.ts'
import { type CommandContext, runs } from './command.ts'

interface Common {
  readonly seed: number
  readonly json?: true
}

/** Registers `generator` with its three subcommands. */
export function generatorCommand(program: Command): void {
  const generator = program.command('generator').description('make up a shop chain: tables, history and daily life')
  const subcommand = (name: string, description: string) => generator.command(name).description(description)

  subcommand('schema', 'create the tables of the shop, as far as they are missing').action(
    runs<Common>('generator', async context => applySchema(await sourceUrl(context), context.log)),
  )

  subcommand('backfill', 'write a seed set and years of history into the empty shop')
    .option('--orders <count>', 'orders of history', wholeNumber, 100_000)
    .option('--years <count>', 'years that they are spread over', wholeNumber, 2)
    .option('--visits-per-order <count>', 'visits of the online shop for each order', Number, 1)
    .option('--seed <number>', 'the same seed makes the same history', wholeNumber, 1)
    .option('--if-empty', 'do nothing, and succeed, when the shop has orders already')
    .option('--json', 'print what was written as one line of JSON')
    .action(runs('generator', runBackfill))

  subcommand('run', 'let customers order, pay, cancel and return, until stopped')
    .option('--rate <changes>', 'row changes per second', Number, 1000)
    .option('--seed <number>', 'the same seed makes the same life', wholeNumber, 1)
    .option('--json', 'print the number of row changes as one line of JSON at the end')
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

async function runLife(context: CommandContext, options: Common & { readonly rate: number }): Promise<void> {
  const { log, life } = context
  const { rate, seed, json } = options
  const url = await sourceUrl(context)
  const result = await generate({
    url,
    control: new Control(new Pace(rate)),
    seed,
    log,
    signal: life.signal,
    onTick: ({ changes, orders, perSecond }) => log.info('shop', { changes, orders, perSecond: Math.round(perSecond) }),
  })
  if (json) printLine(result)
}

/** The embedded Postgres is started if it does not run. */
async function sourceUrl({ config, log, life }: CommandContext): Promise<string> {
  if (config.source.url !== undefined) return config.source.url
  const started = await up({ directory: config.directory, log, signal: life.signal, components: ['postgres'] })
  return started.postgres!
}

function wholeNumber(text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** One line, so that a parent process can read it as the last one. */
function printLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
