// cli/check/check: `millrace check [--fix] [--json]`: whether Postgres can be captured.

import type { Command } from 'commander'
import { withClient } from '../../postgres/client/client.ts'
import type { Check, CheckState } from '../../postgres/preflight/check.ts'
import { applyFixes, preflight } from '../../postgres/preflight/preflight.ts'
import { checkReplication } from '../../postgres/preflight/server-checks.ts'
import { chooseTables } from '../../producer/capture/table-choice.ts'
import { exitCodes } from '../../runtime/lifecycle.ts'
import { type CommandContext, printJson, runs } from '../command.ts'
import { resolveServers, type Services } from '../servers.ts'
import { checkGeneration } from './check-generation.ts'

interface CheckOptions {
  readonly fix?: true
  readonly json?: true
}

export function checkCommand(program: Command): void {
  program
    .command('check')
    .description('check whether Postgres is ready to be captured, and say what to change if it is not')
    .option('--fix', 'correct what SQL can correct, such as REPLICA IDENTITY FULL')
    .option('--json', 'print the checks as JSON')
    .action(runs<CheckOptions>('check', runCheck))
}

async function runCheck(context: CommandContext, { fix, json }: CheckOptions): Promise<number> {
  const { config, lifecycle } = context
  const { postgres: url, kafka } = await findServices(context)
  const { slot, checks: ofKafka } = await checkGeneration(context, { url, kafka })
  const ofConnection = await checkReplication(url, lifecycle.signal)
  const checks = await withClient(url, async client => {
    const look = async () => {
      const { tables, leftOut } = await chooseTables(client, config)
      const { publication } = config.source
      return [...(await preflight({ client, tables, leftOut, slot, publication })), ofConnection, ...ofKafka]
    }
    const found = await look()
    if (!fix) return found
    const { done, failed } = await applyFixes(client, found)
    for (const statement of done) process.stderr.write(`done: ${statement}\n`)
    for (const { statement, error } of failed) process.stderr.write(`not done: ${statement}: ${error.message}\n`)
    return look()
  })
  if (json) printJson(checks)
  else process.stdout.write(`${checks.flatMap(describe).join('\n')}\n`)
  return checks.some(({ state }) => state === 'fail' || state === 'unknown') ? exitCodes.found : exitCodes.ok
}

/** Without a configured Kafka, only the source is checked. No Kafka is started for the check. */
async function findServices({
  config,
  log,
  lifecycle,
}: CommandContext): Promise<Pick<Services, 'postgres'> & Partial<Services>> {
  const isAlone = config.source.url !== undefined && config.kafka.brokers === undefined
  return resolveServers(config, log, lifecycle.signal, isAlone ? ['postgres'] : ['postgres', 'kafka'])
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
