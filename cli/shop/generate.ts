// cli/shop/generate: `millrace generate orders | visits | scenario`.

import { randomInt } from 'node:crypto'
import { type Command, Option } from 'commander'
import { generateOnce } from '../../generator/live/generate-batch.ts'
import { RateLimiter } from '../../generator/live/rate-limiter.ts'
import { generate } from '../../generator/live/run.ts'
import { Control } from '../../generator/live/run-control.ts'
import { scenarioKinds, scenarioSchema } from '../../generator/shop/scenario.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { type CommandContext, printLine, runs, wholeNumber } from '../command.ts'
import { sourceUrl } from '../servers.ts'

interface Common {
  readonly seed?: number
  readonly json?: true
}

/** Registers `generate` with its three subcommands. */
export function generateCommand(program: Command): void {
  const command = program
    .command('generate')
    .description('add a number of orders or visits, or one scenario, to the shop')
  const subcommand = (name: string, description: string) =>
    command
      .command(name)
      .description(description)
      .option(
        '--seed <number>',
        'the same seed and shop create the same rows (default: a new seed each time)',
        wholeNumber,
      )
      .option('--json', 'print the numbers of created rows as one line of JSON')

  for (const kind of ['order', 'visit'] as const) {
    subcommand(`${kind}s`, `create ${kind}s`)
      .option('--count <count>', `number of ${kind}s`, wholeNumber, 100)
      .action(
        runs<Common & { count: number }>('generate', async (context, { count, seed = newSeed(), json }) => {
          const { log, lifecycle } = context
          const url = await sourceUrl(context)
          const made = await generateOnce({ url, kind, count, seed, from: 'command', log, signal: lifecycle.signal })
          if (json) printLine({ ...made, seed })
        }),
      )
  }

  subcommand('scenario', 'run one scenario together with the daily life of the shop, until the scenario ends')
    .argument('<kind>', `one of ${scenarioKinds.join(', ')}`)
    .option('--seconds <count>', 'seconds that it lasts', wholeNumber, 60)
    .option('--rate <changes>', 'row changes per second', Number, 100)
    .option('--category <name>', 'for flash_sale: category (default: a random one)')
    .addOption(new Option('--discount <percent>', 'for flash_sale: discount on every price').argParser(wholeNumber))
    .option('--traffic-source <name>', 'for campaign: traffic source (default: a random one)')
    .addOption(
      new Option('--moves <count>', 'for territory_reorganisation: number of shops that change').argParser(wholeNumber),
    )
    .action(runs('generate', runScenario))
}

interface ScenarioOptions extends Common {
  readonly seconds: number
  readonly rate: number
  readonly category?: string
  readonly discount?: number
  readonly trafficSource?: string
  readonly moves?: number
}

async function runScenario(context: CommandContext, options: ScenarioOptions, args: readonly string[]): Promise<void> {
  const { log, lifecycle } = context
  const { seed = newSeed(), seconds, rate, category, discount, trafficSource: traffic_source, moves, json } = options
  const given = { kind: args[0], seconds, category, discount, traffic_source, moves }
  const parsed = scenarioSchema.safeParse(
    Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  )
  if (!parsed.success) {
    throw new MillraceError('USAGE', {
      what: parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '),
      where: `generate scenario ${args[0]}`,
      next: 'see millrace generate scenario --help',
    })
  }
  const control = new Control(new RateLimiter(rate))
  const over = new AbortController()
  const timer = setTimeout(() => over.abort(), seconds * 1000)
  lifecycle.opened('timer', () => clearTimeout(timer))
  const signal = AbortSignal.any([lifecycle.signal, over.signal])
  const url = await sourceUrl(context)
  const totals = await generate({ url, control, seed, scenario: parsed.data, log, signal })
  if (json) printLine({ ...totals, scenario: parsed.data, seed })
}

function newSeed(): number {
  return randomInt(2 ** 31)
}
