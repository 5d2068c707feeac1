// cli/stack: the commands that start, stop and empty the local Postgres, Kafka and ClickHouse.
// May know: stack, runtime.
import { resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { environment, loadConfig } from '../runtime/config.ts'
import { MillraceError } from '../runtime/errors.ts'
import { exitCodes, live } from '../runtime/lifecycle.ts'
import { createLog } from '../runtime/log.ts'
import { type Component, components } from '../stack/component.ts'
import { down, reset, up } from '../stack/up.ts'

interface StackOptions {
  readonly config?: string
  readonly data?: string
}

interface UpOptions extends StackOptions {
  readonly json?: true
  readonly only?: readonly Component[]
  readonly newPorts?: true
}

/** Registers `up`, `down` and `reset`. Their errors are MillraceErrors; the caller prints them. */
export function stackCommands(program: Command): void {
  const command = (name: string) => program.command(name).option('--data <dir>', 'directory of the local stack')

  command('up')
    .description('start the local Postgres, Kafka and ClickHouse, or find those that run')
    .option(
      '--only <components>',
      `some of ${components.join(',')}; default all that are not external`,
      parseComponents,
    )
    .option('--new-ports', 'replace a port that another process has taken meanwhile')
    .option('--json', 'print the endpoints as JSON')
    .action((_options, self: Command) => runUp(self.optsWithGlobals<UpOptions>()))

  command('down')
    .description('stop the local components; their data stays')
    .action((_options, self: Command) => down(target(self.optsWithGlobals()).directory, createLog('stack')))

  command('reset')
    .description('stop the local components and delete their data')
    .option('--yes', 'do not ask')
    .action((_options, self: Command) => runReset(self.optsWithGlobals<StackOptions & { yes?: true }>()))
}

async function runUp(options: UpOptions): Promise<void> {
  const log = createLog('stack')
  const { directory, embedded } = target(options)
  const wanted = options.only ?? embedded
  const start = async (signal: AbortSignal) => {
    const endpoints = await up({ directory, log, signal, components: wanted, newPorts: options.newPorts ?? false })
    if (options.json) process.stdout.write(`${JSON.stringify(endpoints)}\n`)
    else for (const [name, at] of Object.entries(endpoints)) process.stdout.write(`${name.padEnd(18)}${at}\n`)
    return exitCodes.ok
  }
  process.exitCode = await live(({ signal }) => start(signal), { log })
}

async function runReset(options: StackOptions & { yes?: true }): Promise<void> {
  const log = createLog('stack')
  const { directory } = target(options)
  if (!options.yes) await confirm(directory)
  await reset(directory, log)
}

async function confirm(directory: string): Promise<void> {
  const refused = (what: string) =>
    new MillraceError('USAGE', { what, where: directory, next: 'add --yes if all data there may be deleted' })
  if (!process.stdin.isTTY) throw refused('reset asks before it deletes, and there is nobody to ask')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`Delete all data of the local stack in ${directory}? [y/N] `)
  terminal.close()
  if (!/^y(es)?$/i.test(answer.trim())) throw refused('nothing was deleted')
}

/** The stack's directory, and the components for which the configuration names no external endpoint. */
function target({ config: file, data }: StackOptions): { directory: string; embedded: Component[] } {
  const config = loadConfig({ file, env: environment(), cwd: process.cwd() })
  const external = { postgres: config.source.url, kafka: config.kafka.brokers, clickhouse: config.clickhouse.url }
  return {
    directory: data === undefined ? config.directory : resolve(data),
    embedded: components.filter(name => external[name] === undefined),
  }
}

function parseComponents(text: string): Component[] {
  const names = text.split(',').map(name => name.trim())
  for (const name of names) {
    if ((components as readonly string[]).includes(name)) continue
    throw new MillraceError('USAGE', {
      what: `there is no component "${name}"`,
      where: '--only',
      next: `name some of ${components.join(',')}`,
    })
  }
  return names as Component[]
}
