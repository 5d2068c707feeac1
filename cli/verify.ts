// cli/verify: `millrace verify [--json]`: compares ClickHouse with Postgres.

import type { Command } from 'commander'
import { exitCodes } from '../runtime/lifecycle.ts'
import type { Failure } from '../verify/attempt.ts'
import type { ReportComparison } from '../verify/compare-reports.ts'
import type { TableComparison } from '../verify/tables.ts'
import { type Verification, verify } from '../verify/verify.ts'
import { printJson, runs } from './command.ts'
import { resolveServers } from './servers.ts'

const exitCodesHelp = `
Exit codes: 0 equal; 1 something differs; 2 nothing differs, but something could not be compared;
130 interrupted.`

export function verifyCommand(program: Command): void {
  program
    .command('verify')
    .description('compare every table and report in ClickHouse with Postgres, both as of one LSN')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', exitCodesHelp)
    .action(
      runs<{ json?: true }>('verify', async ({ config, log, lifecycle }, { json }) => {
        const services = await resolveServers(config, log, lifecycle.signal, ['postgres', 'clickhouse'])
        const result = await verify({ config, services, log, signal: lifecycle.signal })
        if (json) printJson(result)
        else process.stdout.write(`${describe(result).join('\n')}\n`)
        return exitCodeOf(result)
      }),
    )
}

/** The exit code for a result. */
export function exitCodeOf({ outcome }: Verification): number {
  return { equal: exitCodes.ok, different: exitCodes.found, undecided: exitCodes.failed }[outcome]
}

/** The outcome in one word. */
export function title({ outcome }: Pick<Verification, 'outcome'>): string {
  return outcome === 'equal' ? outcome : outcome.toUpperCase()
}

/** The result as text: a line for each table and report, with its differences below it. */
export function describe({ lsn, tables, reports, names, ...result }: Verification): string[] {
  const moved = Object.values(reports).some(({ state }) => state === 'undecided')
  const list = (what: string, all: readonly string[]) => (all.length === 0 ? [] : [`${what}: ${all.join(', ')}`])
  return [
    `${title(result)} at ${lsn}`,
    ...Object.entries(tables).flatMap(([name, table]) => describeTable(name, table)),
    ...Object.entries(reports).flatMap(([name, report]) => describeReport(name, report)),
    ...Object.entries(names).map(([name, problem]) => `  ${name} ${problem}`),
    ...list('not captured, so not compared, although the configuration names them', result.uncaptured),
    ...list('not checked, because the model has no checks/<view>.sql', result.unchecked),
    ...(moved
      ? [
          'undecided rows changed during every comparison, and are neither right nor wrong: pause the writers for a moment and verify again',
        ]
      : []),
  ]
}

function describeTable(name: string, table: TableComparison): string[] {
  const { postgres, clickhouse, differing, exact, keys, leftBehind } = table
  const counts = `${postgres} rows in Postgres, ${clickhouse} in ClickHouse, ${exact ? '' : 'at least '}${differing} differ`
  const isCompared = exact || differing > 0 || table.failures.length === 0
  return [
    `  ${name.padEnd(40)} ${isCompared ? counts : 'could not be compared'}`,
    ...table.problems.map(problem => `    ${problem}`),
    ...table.failures.map(describeFailure),
    ...keys.map(({ key, state, rows }) =>
      rows === undefined
        ? `    ${state} ${key}`
        : `    ${state} ${key}: ${rows.postgres} rows in Postgres, ${rows.clickhouse} in ClickHouse`,
    ),
    ...(leftBehind.length === 0 ? [] : [`    columns that are not captured: ${leftBehind.join(', ')}`]),
  ]
}

function describeFailure({ code, what, next }: Failure): string {
  return `    ${code}: ${what}\n      next: ${next}`
}

function describeReport(name: string, { state, rows, differing, keys, failure }: ReportComparison): string[] {
  const title = `  ${name.padEnd(40)} `
  if (failure !== undefined) return [`${title}could not be compared`, describeFailure(failure)]
  if (state === 'undecided') return [`${title}${rows} rows, ${differing} undecided, the others equal`]
  const shown = keys.map(row => {
    const columns = Object.entries(row.columns ?? {}).map(
      ([column, [postgres, clickhouse]]) => `\n      ${column}: ${postgres} in Postgres, ${clickhouse} in ClickHouse`,
    )
    return `    ${row.state} ${row.key}${columns.join('')}`
  })
  return [`${title}${rows} rows, ${differing} differ`, ...shown]
}
