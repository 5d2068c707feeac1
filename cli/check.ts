// cli/check: `millrace check [--fix] [--json]`: whether Postgres is ready to be captured, check by check.
// May know: postgres, runtime.

import type { Command } from 'commander'
import { publicationName, slotName } from '../contract/generation.ts'
import { readTables } from '../postgres/catalog.ts'
import type { Check, CheckState } from '../postgres/check.ts'
import { withClient } from '../postgres/connect.ts'
import { applyFixes, preflight } from '../postgres/preflight.ts'
import { tableOptions } from '../runtime/config.ts'
import { exitCodes } from '../runtime/lifecycle.ts'
import { type CommandContext, printJson, runs } from './command.ts'
import { openServices } from './endpoints.ts'

interface CheckOptions {
  readonly fix?: true
  readonly json?: true
}

export function checkCommand(program: Command): void {
  program
    .command('check')
    .description('say whether the source is ready to be captured, and what to do where it is not')
    .option('--fix', 'do what can be done by SQL, such as setting REPLICA IDENTITY FULL')
    .option('--json', 'print the checks as JSON')
    .action(runs<CheckOptions>('check', runCheck))
}

async function runCheck({ config, log, life }: CommandContext, { fix, json }: CheckOptions): Promise<number> {
  const { postgres } = await openServices(config, log, life.signal, ['postgres'])
  const checks = await withClient(postgres, async client => {
    const look = async () => {
      const tables = await readTables(client, (schema, table) => tableOptions(config, schema, table) !== undefined)
      return preflight({ client, tables, slot: slotName(config.name, 1), publication: publicationName(config.name, 1) })
    }
    const found = await look()
    if (!fix) return found
    for (const statement of await applyFixes(client, found)) process.stderr.write(`done: ${statement}\n`)
    return look()
  })
  if (json) printJson(checks)
  else process.stdout.write(`${checks.flatMap(describe).join('\n')}\n`)
  return checks.some(({ state }) => state === 'fail' || state === 'unknown') ? exitCodes.found : exitCodes.ok
}

const marks: Record<CheckState, string> = { pass: 'ok  ', warn: 'warn', fail: 'FAIL', unknown: '??? ' }

function describe({ name, state, found, why, fix, sql }: Check): string[] {
  const first = `${marks[state]}  ${name}: ${found}`
  if (state === 'pass') return [first]
  return [
    first,
    `        why: ${why}`,
    ...(fix ? [`        fix: ${fix}`] : []),
    ...(sql ?? []).map(text => `        sql: ${text}`),
  ]
}
