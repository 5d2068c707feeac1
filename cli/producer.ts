// cli/producer: `millrace producer`: from Postgres into the topics.

import type { Command } from 'commander'
import { runProducer } from '../producer/main.ts'
import { runs } from './command.ts'
import { resolveServers } from './servers.ts'

export function producerCommand(program: Command): void {
  program
    .command('producer')
    .description('write the row changes of Postgres to the topics in Kafka, until it is stopped')
    .option('--new-generation', 'load all tables again, into a new generation of topics beside the live one')
    .action(
      runs<{ newGeneration?: true }>('producer', async ({ config, log, lifecycle }, { newGeneration = false }) => {
        const { postgres, kafka } = await resolveServers(config, log, lifecycle.signal, ['postgres', 'kafka'])
        await runProducer({ config, postgres, kafka, log, lifecycle, newGeneration })
      }),
    )
}
