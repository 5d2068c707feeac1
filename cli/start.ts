// cli/start: `millrace start`: the producer and the consumer, each in its own process.

import type { Command } from 'commander'
import { exitCodes } from '../runtime/lifecycle.ts'
import { failWithChild, sameConfiguration, startChild } from './child-process.ts'
import { runs } from './command.ts'
import { allComponents, resolveServers } from './servers.ts'

export function startCommand(program: Command): void {
  program
    .command('start')
    .description('run the producer and the consumer, each in its own process, until it is stopped')
    .action(
      runs<{ config?: string; set?: Record<string, string> }>('start', async ({ config, log, lifecycle }, options) => {
        // Embedded servers are started here, so that the two processes do not both start them.
        await resolveServers(config, log, lifecycle.signal, allComponents)
        const common = sameConfiguration({ ...options, directory: config.directory })
        const children = ['consumer', 'producer'].map(name => {
          const child = startChild(name, [...common, name], config.directory)
          lifecycle.opened(name, () => child.stop())
          return child
        })
        log.info('running', { logs: `${config.directory}/log` })
        const stopped = new Promise<void>(resolve => lifecycle.signal.addEventListener('abort', () => resolve()))
        await Promise.race([failWithChild(children, config.directory), stopped])
        return exitCodes.ok
      }),
    )
}
