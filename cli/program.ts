// cli/program: the command line: global options and the list of commands.

import { Command, Option } from 'commander'
import { MillraceError } from '../runtime/errors.ts'
import { packageManifest } from '../runtime/files.ts'
import { missingPackage } from '../runtime/optional-packages.ts'

type AddCommand = (program: Command) => void

/** Each command is a function that adds itself to the program. Help lists them in this order. */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  demo: async () => (await import('./demo/demo.ts')).demoCommand,
  check: async () => (await import('./check/check.ts')).checkCommand,
  start: async () => (await import('./start.ts')).startCommand,
  producer: async () => (await import('./producer.ts')).producerCommand,
  consumer: async () => (await import('./consumer.ts')).consumerCommand,
  generations: async () => (await import('./generations.ts')).generationsCommand,
  forget: async () => (await import('./forget/forget.ts')).forgetCommand,
  generator: async () => (await import('./shop/generator.ts')).generatorCommand,
  generate: async () => (await import('./shop/generate.ts')).generateCommand,
  import: async () => (await import('./shop/import.ts')).importCommand,
  status: async () => (await import('./status/status.ts')).statusCommand,
  verify: async () => (await import('./verify.ts')).verifyCommand,
  export: async () => (await import('./model/export.ts')).exportCommand,
  roles: async () => (await import('./model/roles.ts')).rolesCommand,
  model: async () => (await import('./model/model.ts')).modelCommand,
  up: async () => (await import('./stack.ts')).stackCommands,
  down: async () => (await import('./stack.ts')).stackCommands,
  reset: async () => (await import('./reset/reset.ts')).resetCommand,
  config: async () => (await import('./config.ts')).configCommand,
  explain: async () => (await import('./explain.ts')).explainCommand,
}

/**
 * The program with the one command that the arguments name, or with all commands when they name
 * none. Loading one command halves the CPU time of a start, and saves memory.
 */
export async function createProgram(args: readonly string[]): Promise<Command> {
  const program = new Command('millrace')
    .description('Streams row changes from Postgres through Kafka into ClickHouse, exactly once.')
    .version(packageManifest().version)
    .addOption(new Option('-c, --config <file>', 'configuration file (default: millrace.yaml, if there is one)'))
    .addOption(
      new Option('-d, --data <directory>', 'directory of the state and of the embedded servers (default: .millrace)'),
    )
    .addOption(new Option('--log-level <level>', 'lowest level that is logged: debug, info, warn or error'))
    .addOption(
      new Option(
        '--set <key=value>',
        'set one setting, such as source.readers=8; can be given several times',
      ).argParser(addSetting),
    )
    .addOption(new Option('--debug', 'also print the stack trace of an error'))
    .showHelpAfterError('(millrace --help lists commands and options)')
    .exitOverride()
  program.addHelpText('after', exitCodesHelp)
  for (const add of await commandsFor(program, args)) add(program)
  return program
}

/**
 * The program knows its own options here, so that the value of an option is not taken for a
 * command.
 */
async function commandsFor(program: Command, args: readonly string[]): Promise<Set<AddCommand>> {
  const name = program.parseOptions([...args]).operands[0] ?? ''
  const named = Object.hasOwn(commands, name) ? [name] : Object.keys(commands)
  return new Set(await Promise.all(named.map(load)))
}

/** The command, or a command that only says which optional package it needs and lacks. */
async function load(name: string): Promise<AddCommand> {
  try {
    return await commands[name]!()
  } catch (error) {
    const missing = missingPackage(error, name === 'demo' ? 'demo' : 'shop')
    if (missing === undefined) throw error
    const refuse = () => {
      throw missing
    }
    return program =>
      program
        .command(name)
        .description('(needs npm packages that are not installed)')
        .argument('[anything...]')
        .allowUnknownOption()
        .action(refuse)
  }
}

const exitCodesHelp = `
Exit codes: 0 done, 1 ran and found a failure, 2 could not run, 130 interrupted.
A setting is taken from the command line, else from the environment (MILLRACE_…), else from the
configuration file, else from its default.`

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
