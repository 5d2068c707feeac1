// cli/stack: `millrace up` and `millrace down`: start and stop the embedded servers.

import type { Command } from 'commander'
import type { Config } from '../runtime/config/config.ts'
import { MillraceError } from '../runtime/errors.ts'
import { type Component, components } from '../stack/component.ts'
import { down, up } from '../stack/up.ts'
import { printJson, runs } from './command.ts'

interface UpOptions {
  readonly json?: true
  readonly only?: readonly Component[]
  readonly newPorts?: true
}

/** Registers `up` and `down`. */
export function stackCommands(program: Command): void {
  program
    .command('up')
    .description('start the embedded Postgres, Kafka and ClickHouse that do not run yet')
    .option(
      '--only <components>',
      `comma-separated list of ${components.join(', ')} (default: all that the configuration does not name)`,
      parseComponents,
    )
    .option('--new-ports', 'choose a new port where another process uses the earlier one')
    .option('--json', 'print the addresses as JSON')
    .action(
      runs<UpOptions>('stack', async ({ config, log, lifecycle }, { json, only, newPorts = false }) => {
        const { directory } = config
        const wanted = only ?? embedded(config)
        const endpoints = await up({ directory, log, signal: lifecycle.signal, components: wanted, newPorts })
        if (json) return printJson(endpoints)
        for (const [name, at] of Object.entries(endpoints)) process.stdout.write(`${name.padEnd(18)}${at}\n`)
      }),
    )

  program
    .command('down')
    .description('stop the embedded servers and keep their data')
    .action(runs('stack', ({ config, log }) => down(config.directory, log)))
}

/** The components for which the configuration names no address. */
function embedded(config: Config): Component[] {
  const external = { postgres: config.source.url, kafka: config.kafka.brokers, clickhouse: config.clickhouse.url }
  return components.filter(name => external[name] === undefined)
}

function parseComponents(text: string): Component[] {
  const names = text.split(',').map(name => name.trim())
  return names.map(name => {
    const known = components.find(component => component === name)
    if (known !== undefined) return known
    throw new MillraceError('USAGE', {
      what: `there is no component "${name}"`,
      where: '--only',
      next: `name some of ${components.join(',')}`,
    })
  })
}
