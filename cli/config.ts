// cli/config: `millrace config schema | show | check`.

import type { Command } from 'commander'
import { stringify } from 'yaml'
import { redactConfig } from '../runtime/config/redact.ts'
import { configJsonSchema } from '../runtime/config/settings.ts'
import { printJson, runs } from './command.ts'

export function configCommand(program: Command): void {
  const config = program.command('config').description('show or check the configuration')

  config
    .command('schema')
    .description('print the JSON Schema of millrace.yaml, for editors')
    .action(() => printJson(configJsonSchema()))

  config
    .command('show')
    .description('print the value of every setting, with secrets hidden')
    .option('--json', 'print JSON instead of YAML')
    .action(
      runs<{ json?: true }>('config', async (context, { json }) => {
        const shown = redactConfig(context.config)
        if (json) printJson(shown)
        else process.stdout.write(stringify(shown))
      }),
    )

  config
    .command('check')
    .description('check the configuration and list its errors')
    .action(
      runs('config', async () => {
        process.stdout.write('the configuration is valid\n')
      }),
    )
}
