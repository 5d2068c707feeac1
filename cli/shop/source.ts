// cli/shop/source: what the commands that write into the source have in common.

import { InvalidArgumentError } from 'commander'
import type { CommandContext } from '../command.ts'
import { openServices } from '../servers.ts'

/** The embedded Postgres is started if it does not run. @throws {MillraceError} CONFIG_INVALID, STACK_* */
export async function sourceUrl({ config, log, lifecycle }: CommandContext): Promise<string> {
  return (await openServices(config, log, lifecycle.signal, ['postgres'])).postgres
}

/** Parser of an option's value. */
export function wholeNumber(text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** One line of JSON, so that a parent process can read it as the last one. */
export function printLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
