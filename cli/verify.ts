// cli/verify: `millrace verify [--json]`: exit 0 equal, 1 different, 2 could not tell.
// May know: verify, cli.

import type { Command } from 'commander'
import { exitCodes } from '../runtime/lifecycle.ts'
import type { TableComparison } from '../verify/tables.ts'
import type { ReportComparison } from '../verify/trial.ts'
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
        const result = await verify({ config, services, signal: life.signal })
        if (json) printJson(result)
        else process.stdout.write(`${describe(result).join('\n')}\n`)
        return exitCodeOf(result)
      }),
    )
}

/** What a command ends with that has verified. */
export function exitCodeOf({ outcome }: Verification): number {
  return { equal: exitCodes.ok, different: exitCodes.found, undecided: exitCodes.failed }[outcome]
}

/** The outcome in one word. */
export function title({ outcome }: Verification): string {
  return outcome === 'equal' ? outcome : outcome.toUpperCase()
}

/** The result for people: a line for each table and report, and what differs below it. */
export function describe(result: Verification): string[] {
  const { lsn, tables, reports, unchecked } = result
  const moved = Object.values(reports).some(({ state }) => state === 'undecided')
  return [
    `${title(result)} at ${lsn}`,
    ...Object.entries(tables).flatMap(([name, table]) => describeTable(name, table)),
    ...Object.entries(reports).flatMap(([name, report]) => describeReport(name, report)),
    ...(unchecked.length === 0
      ? []
      : [`not checked, because the model has no checks/<view>.sql: ${unchecked.join(', ')}`]),
    ...(moved
      ? [
          'undecided rows changed during every comparison, and are neither right nor wrong: pause the writers for a moment and verify again',
        ]
      : []),
  ]
}

function describeTable(name: string, { postgres, clickhouse, differing, keys }: TableComparison): string[] {
  return [
    `  ${name.padEnd(40)} ${postgres} rows in Postgres, ${clickhouse} in ClickHouse, ${differing} differ`,
    ...keys.map(({ key, state }) => `    ${state} ${key}`),
  ]
}

function describeReport(name: string, { state, rows, differing, keys }: ReportComparison): string[] {
  const title = `  ${name.padEnd(40)} ${rows} rows, `
  if (state === 'undecided') return [`${title}${differing} undecided, the others equal`]
  const shown = keys.map(row => {
    const columns = Object.entries(row.columns ?? {}).map(
      ([column, [postgres, clickhouse]]) => `\n      ${column}: ${postgres} in Postgres, ${clickhouse} in ClickHouse`,
    )
    return `    ${row.state} ${row.key}${columns.join('')}`
  })
  return [`${title}${differing} differ`, ...shown]
}
