// postgres/preflight: whether the source can be captured, as named checks, and the mending of what can be mended by SQL.
// May know: postgres, runtime/errors.

import type { Check, Finding, PreflightContext } from './check.ts'
import { type Client, query } from './connect.ts'
import { serverChecks } from './server-checks.ts'
import { tableChecks } from './table-checks.ts'

/** Runs every check, one after the other, on one connection of the role that will capture. */
export async function preflight(context: PreflightContext): Promise<Check[]> {
  const checks: Check[] = []
  for (const { name, why, run } of [...serverChecks, ...tableChecks]) {
    const finding = await run(context).catch(
      (error: Error): Finding => ({ state: 'unknown', found: `could not be checked: ${error.message}` }),
    )
    checks.push({ name, why, ...finding })
  }
  return checks
}

/** Longer waits for a lock would hold up everyone who comes after in the queue. */
const lockTimeout = '5s'

/**
 * Runs the statements of all checks that did not pass, each in a transaction of its own, and gives them.
 * @throws {MillraceError} POSTGRES_DENIED, POSTGRES_BUSY; those before the failed one have taken effect
 */
export async function applyFixes(client: Client, checks: readonly Check[]): Promise<string[]> {
  const statements = checks.filter(({ state }) => state !== 'pass').flatMap(({ sql }) => sql ?? [])
  for (const statement of statements) {
    await query(client, `SELECT set_config('lock_timeout', '${lockTimeout}', true); ${statement}`)
  }
  return statements
}
