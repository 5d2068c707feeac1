// postgres/preflight/preflight: checks whether the source can be captured, and applies the remedies
// in SQL.

import { type Client, query } from '../client/client.ts'
import type { Check, CheckDefinition, Finding, PreflightContext } from './check.ts'
import { existingPublication, rightToPublish } from './publication-checks.ts'
import { serverChecks } from './server-checks.ts'
import { tableChecks } from './table-checks.ts'

/**
 * Runs every check for a generation that is to begin, one after the other, on one connection of the
 * capturing role.
 */
export function preflight(context: PreflightContext): Promise<Check[]> {
  const { publication } = context
  const ofPublication = publication === undefined ? rightToPublish : existingPublication(publication)
  return runChecks([...serverChecks, ...tableChecks, ofPublication], context)
}

/** Runs the checks that a live generation needs to continue. */
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

/** A longer wait for a lock would block all sessions that come after it in the queue. */
const lockTimeout = '5s'

export interface Fixes {
  /** Statements that have taken effect. */
  readonly done: readonly string[]
  readonly failed: readonly { readonly statement: string; readonly error: Error }[]
}

/**
 * Runs the SQL of all checks that did not pass, each statement in a transaction of its own. A
 * failed statement does not prevent the others.
 */
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
