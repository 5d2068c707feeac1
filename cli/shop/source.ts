// cli/shop/source: helpers of the commands that write into Postgres.

import { InvalidArgumentError } from 'commander'
import type { CommandContext } from '../command.ts'
import { openServices } from '../servers.ts'

/** Starts the embedded Postgres if necessary. @throws {MillraceError} CONFIG_INVALID, STACK_* */
export async function sourceUrl({ config, log, lifecycle }: CommandContext): Promise<string> {
  return (await openServices(config, log, lifecycle.signal, ['postgres'])).postgres
}

/** Parses the value of an option. */
export function wholeNumber(text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** Writes one line of JSON. A parent process reads the last line. */
export function printLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
