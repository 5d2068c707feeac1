// test/support/config-text: configurations written for one test, and why they are refused.

import { type Config, type ConfigInput, loadConfig } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { writeFixture } from './fixture.ts'

/** Loads it from a directory of its own, without an environment. */
export function load(yaml: string | undefined, input: Partial<ConfigInput> = {}): { cwd: string; config: Config } {
  const cwd = writeFixture(yaml === undefined ? {} : { 'millrace.yaml': yaml })
  return { cwd, config: loadConfig({ env: {}, cwd, ...input }) }
}

/** The text of the refusal, with its place. @throws {Error} when it is accepted, or fails otherwise */
export function refusal(yaml: string | undefined, input: Partial<ConfigInput> = {}): string {
  try {
    load(yaml, input)
  } catch (error) {
    if (error instanceof MillraceError) return error.toText()
    throw error
  }
  throw new Error('it was accepted')
}
