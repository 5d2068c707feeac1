// cli/command: gives each command its configuration, log and lifecycle, and sets the exit code.

import { type Command, InvalidArgumentError } from 'commander'
import { type Config, environment, loadConfig } from '../runtime/config/config.ts'
import type { Environment } from '../runtime/config/file.ts'
import { type Lifecycle, runUntilStopped } from '../runtime/lifecycle.ts'
import { type Log, openLog } from '../runtime/log.ts'

export interface CommandContext {
  readonly config: Config
  readonly log: Log
  readonly lifecycle: Lifecycle
  readonly env: Environment
}

/**
 * Does the command's work. Returns an exit code, or nothing for 0. A thrown error becomes code 2.
 */
export type CommandBody<Options> = (
  context: CommandContext,
  options: Options,
  args: readonly string[],
) => Promise<number | undefined> | Promise<void>

interface GlobalOptions {
  readonly config?: string | undefined
  readonly data?: string | undefined
  readonly logLevel?: string | undefined
  readonly set?: Readonly<Record<string, string>>
}

/** Values of a command for global options that are not given. */
interface Defaults {
  readonly config?: string
  readonly data?: string
}

/**
 * The commander action that loads the configuration, runs the body until it ends or is asked to
 * stop, and sets the exit code.
 * @example program.command('status').action(runs('status', async ({ config }) => { … }))
 */
export function runs<Options extends object>(component: string, body: CommandBody<Options>, defaults: Defaults = {}) {
  return async (...given: unknown[]): Promise<void> => {
    const command = given.at(-1) as Command
    const options = command.optsWithGlobals<GlobalOptions & Options>()
    const env = environment()
    const flags = flagsOf({ ...options, data: options.data ?? defaults.data })
    const config = loadConfig({ file: options.config ?? defaults.config, flags, env, cwd: process.cwd() })
    const log = openLog(component, config.log)
    process.exitCode = await runUntilStopped(
      async lifecycle => {
        return (await body({ config, log, lifecycle, env }, options, command.args)) ?? 0
      },
      { log },
    )
  }
}

function flagsOf({ data, logLevel, set }: GlobalOptions): Record<string, string> {
  return {
    ...set,
    ...(data === undefined ? {} : { directory: data }),
    ...(logLevel === undefined ? {} : { 'log.level': logLevel }),
  }
}

/** Writes a value to stdout as indented JSON, for `--json`. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

/** Writes one line of JSON. A parent process reads the last line. */
export function printLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

/** Parses the value of an option. */
export function wholeNumber(text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}
