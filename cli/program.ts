// cli/program: the command line: global options and the list of commands.
// May know: commander and every command.

import { Command, Option } from 'commander'
import { MillraceError } from '../runtime/errors.ts'
import { packageVersion } from '../runtime/package.ts'
import { checkCommand } from './check.ts'
import { configCommand } from './config.ts'
import { consumerCommand } from './consumer.ts'
import { demoCommand } from './demo.ts'
import { explainCommand } from './explain.ts'
import { exportCommand } from './export.ts'
import { forgetCommand } from './forget.ts'
import { generateCommand } from './generate.ts'
import { generationsCommand } from './generations.ts'
import { generatorCommand } from './generator.ts'
import { importCommand } from './import.ts'
import { modelCommand } from './model.ts'
import { producerCommand } from './producer.ts'
import { resetCommand } from './reset.ts'
import { rolesCommand } from './roles.ts'
import { stackCommands } from './stack.ts'
import { startCommand } from './start.ts'
import { statusCommand } from './status.ts'
import { verifyCommand } from './verify.ts'

/** Each file of this folder that is a command gives one function, which adds itself to the program. Help lists them in this order. */
const commands: readonly ((program: Command) => void)[] = [
  demoCommand,
  checkCommand,
  startCommand,
  producerCommand,
  consumerCommand,
  generationsCommand,
  forgetCommand,
  generatorCommand,
  generateCommand,
  importCommand,
  statusCommand,
  verifyCommand,
  exportCommand,
  rolesCommand,
  modelCommand,
  stackCommands,
  resetCommand,
  configCommand,
  explainCommand,
]

export function createProgram(): Command {
  const program = new Command('millrace')
    .description('Streams row changes from Postgres through Kafka into ClickHouse, exactly once.')
    .version(packageVersion())
    .addOption(new Option('-c, --config <file>', 'configuration file (default: millrace.yaml, if there is one)'))
    .addOption(new Option('-d, --data <directory>', 'where state and embedded servers are kept'))
    .addOption(new Option('--log-level <level>', 'least level that is logged: debug, info, warn or error'))
    .addOption(
      new Option('--set <key=value>', 'any setting, such as source.readers=8; may be repeated').argParser(addSetting),
    )
    .addOption(new Option('--debug', 'print stack traces of errors'))
    .showHelpAfterError('(millrace --help lists commands and options)')
    .exitOverride()
  program.addHelpText('after', exitCodesHelp)
  for (const add of commands) add(program)
  return program
}

const exitCodesHelp = `
Exit codes: 0 done, 1 ran and found a failure, 2 could not run, 130 interrupted.
Settings come from the command line over the environment (MILLRACE_…) over the file over defaults.`

function addSetting(text: string, earlier: Record<string, string> = {}): Record<string, string> {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? []
  if (key === undefined || value === undefined) {
    throw new MillraceError('USAGE', {
      what: 'a setting is given as key=value',
      where: `--set ${text}`,
      next: 'write for example --set source.readers=8',
    })
  }
  return { ...earlier, [key]: value }
}
