// postgres/preflight/preflight: whether the source can be captured, as named checks, and the mending of what can be mended by SQL.

import { type Client, query } from '../client/client.ts'
import type { Check, CheckDefinition, Finding, PreflightContext } from './check.ts'
import { existingPublication, rightToPublish } from './publication-checks.ts'
import { serverChecks } from './server-checks.ts'
import { tableChecks } from './table-checks.ts'

/** Runs every check of a generation that is to begin, one after the other, on one connection of the role that will capture. */
export function preflight(context: PreflightContext): Promise<Check[]> {
  const { publication } = context
  const ofPublication = publication === undefined ? rightToPublish : existingPublication(publication)
  return runChecks([...serverChecks, ...tableChecks, ofPublication], context)
}

/** Runs the checks of what a live generation needs to go on. */
export function preflightResume(client: Client, slot: string): Promise<Check[]> {
  const needed = serverChecks.filter(({ onlyToBegin = false }) => !onlyToBegin)
  return runChecks(needed, { client, tables: [], leftOut: [], slot, publication: undefined })
}

async function runChecks(definitions: readonly CheckDefinition[], context: PreflightContext): Promise<Check[]> {
  const checks: Check[] = []
  for (const { name, why, passing, run } of definitions) {
    const finding = await run(context).catch(
      (error: Error): Finding => ({ state: 'unknown', found: `could not be checked: ${error.message}` }),
    )
    checks.push({ name, why, passing, ...finding })
  }
  return checks
}

/** Longer waits for a lock would hold up everyone who comes after in the queue. */
const lockTimeout = '5s'

export interface Fixes {
  /** Statements that have taken effect. */
  readonly done: readonly string[]
  readonly failed: readonly { readonly statement: string; readonly error: Error }[]
}

/** Runs the statements of all checks that did not pass, each in a transaction of its own. One that fails does not keep back the others. */
export async function applyFixes(client: Client, checks: readonly Check[]): Promise<Fixes> {
  const done: string[] = []
  const failed: { statement: string; error: Error }[] = []
  for (const statement of checks.filter(({ state }) => state !== 'pass').flatMap(({ sql }) => sql ?? [])) {
    try {
      await query(client, `SELECT set_config('lock_timeout', '${lockTimeout}', true); ${statement}`)
      done.push(statement)
    } catch (error) {
      failed.push({ statement, error: error as Error })
    }
  }
  return { done, failed }
}
