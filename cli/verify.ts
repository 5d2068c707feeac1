// cli/verify: `millrace verify [--json]`: exit 0 equal, 1 different, 2 could not.
// May know: verify, cli.

import type { Command } from 'commander'
import { exitCodes } from '../runtime/lifecycle.ts'
import { type Verification, verify } from '../verify/verify.ts'
import { printJson, runs } from './command.ts'
import { openServices } from './endpoints.ts'

export function verifyCommand(program: Command): void {
  program
    .command('verify')
    .description('compare every table and report in ClickHouse with Postgres, at one LSN')
    .option('--json', 'print the result as JSON')
    .action(
      runs<{ json?: true }>('verify', async ({ config, log, life }, { json }) => {
        const services = await openServices(config, log, life.signal, ['postgres', 'clickhouse'])
        const result = await verify({ config, services, log, signal: life.signal })
        if (json) printJson(result)
        else process.stdout.write(`${describe(result).join('\n')}\n`)
        return result.ok ? exitCodes.ok : exitCodes.found
      }),
    )
}

function describe({ ok, lsn, tables, reports }: Verification): string[] {
  const tableLines = Object.entries(tables).map(([name, { postgres, clickhouse, differing, keys }]) => {
    const shown = keys.map(({ key, state }) => `\n    ${state} ${key}`).join('')
    return `  ${name.padEnd(40)} ${postgres} rows in Postgres, ${clickhouse} in ClickHouse, ${differing} differ${shown}`
  })
  const reportLines = Object.entries(reports).map(([name, { rows, differing, keys }]) => {
    const shown = keys.map(key => `\n    ${key}`).join('')
    return `  ${name.padEnd(40)} ${rows} rows, ${differing} differ${shown}`
  })
  return [`${ok ? 'equal' : 'DIFFERENT'} at ${lsn}`, ...tableLines, ...reportLines]
}
