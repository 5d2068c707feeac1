// cli/producer: `millrace producer`: Postgres into topics.

import type { Command } from 'commander'
import { runProducer } from '../producer/main.ts'
import { runs } from './command.ts'
import { openServices } from './servers.ts'

export function producerCommand(program: Command): void {
  program
    .command('producer')
    .description('capture the changes of Postgres into topics')
    .option('--new-generation', 'load everything anew, into topics beside those of the live generation')
    .action(
      runs<{ newGeneration?: true }>('producer', async ({ config, log, lifecycle }, { newGeneration = false }) => {
        const { postgres, kafka } = await openServices(config, log, lifecycle.signal, ['postgres', 'kafka'])
        await runProducer({ config, postgres, kafka, log, lifecycle, newGeneration })
      }),
    )
}
