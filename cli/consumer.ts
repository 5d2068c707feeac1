// cli/consumer: `millrace consumer`: from the topics into ClickHouse.

import type { Command } from 'commander'
import { runConsumer } from '../consumer/main.ts'
import { runs } from './command.ts'
import { resolveServers } from './servers.ts'

export function consumerCommand(program: Command): void {
  program
    .command('consumer')
    .description('insert the records of the topics into ClickHouse, until it is stopped')
    .action(
      runs('consumer', async ({ config, log, lifecycle }) => {
        const { kafka, clickhouse } = await resolveServers(config, log, lifecycle.signal, ['kafka', 'clickhouse'])
        await runConsumer({ config, kafka, clickhouse, log, lifecycle })
      }),
    )
}
