// test/unit/cli.test: the command line's help, its exit codes and its errors.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createProgram } from '../../cli/program.ts'
import { allComponents, resolveServers } from '../../cli/servers.ts'
import { loadConfig } from '../../runtime/config/config.ts'
import type { Environment } from '../../runtime/config/file.ts'
import type { Component } from '../../stack/component.ts'
import { commandLine } from '../support/harness/build.ts'
import { startCommand, writeFixture } from '../support/harness/program.ts'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { quietLog } from '../support/servers/services.ts'

function millrace(...args: string[]) {
  return startCommand([...args]).ended
}

const test = suite('cli')

test('help goes to stdout and names commands and exit codes', async () => {
  const { code, stdout, stderr } = await millrace('--help')
  assert.is(code, 0)
  assert.is(stderr, '')
  for (const command of ['up', 'down', 'config']) assert.match(stdout, new RegExp(`^ {2}${command}\\b`, 'm'))
  assert.match(stdout, 'Exit codes: 0 done, 1 ran and found a failure, 2 could not run, 130 interrupted.')
})

test('a command ends silently when its reader closes the pipe', async () => {
  const command = spawn(process.execPath, [...commandLine(), '--help'], { cwd: projectRoot })
  command.stdout.destroy()
  let stderr = ''
  command.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code] = await once(command, 'close')
  assert.equal([code, stderr], [2, ''])
})

test('the version is that of the package', async () => {
  const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { version: string }
  assert.is((await millrace('--version')).stdout, `${version}\n`)
})

test('a mistyped command or option is refused with a suggestion and exit code 2', async () => {
  const command = await millrace('confg')
  assert.is(command.code, 2)
  assert.is(command.stdout, '')
  assert.match(command.stderr, 'Did you mean config?')
  const option = await millrace('config', 'show', '--jsn')
  assert.is(option.code, 2)
  assert.match(option.stderr, 'Did you mean --json?')
  assert.is((await millrace('--set', 'x', 'config', 'show')).code, 2)
})

test('only the named command is loaded, whatever the values of options are', async () => {
  const loaded = async (...args: string[]) => (await createProgram(args)).commands.map(command => command.name())
  assert.equal(await loaded('-d', 'status', 'config', 'show', '-c', 'demo', '--set', 'name=up'), ['config'])
  assert.equal(await loaded('explain', 'status'), ['explain'])
  assert.ok((await loaded('help', 'status')).length > 10)
  assert.ok((await loaded('--data', 'status')).length > 10)
})

test('a command that writes into the source refuses invalid arguments before it starts anything', async () => {
  const schedule = await millrace('generator', 'run', '--every', 'soon')
  assert.is(schedule.code, 2)
  assert.match(schedule.stderr, '"soon" is not a schedule')
  const scenario = await millrace('generate', 'scenario', 'flood')
  assert.is(scenario.code, 2)
  assert.match(scenario.stderr, 'flash_sale')
  const files = await millrace('import', 'traffic')
  assert.is(files.code, 2)
  assert.match(files.stderr, /missing required argument/)
})

test('config show prints the effective settings with hidden secrets', async () => {
  const directory = writeFixture({ 'm.yaml': 'name: shop\nclickhouse: { password: hush }\n' })
  const { code, stdout } = await millrace(
    'config',
    'show',
    '--json',
    '-c',
    join(directory, 'm.yaml'),
    '--log-level',
    'warn',
  )
  assert.is(code, 0)
  const shown = JSON.parse(stdout)
  assert.is(shown.name, 'shop')
  assert.is(shown.log.level, 'warn')
  assert.is(shown.clickhouse.password, '***')
})

test('no embedded server starts beside a given one, also when the variable is empty', async () => {
  const directory = join(writeFixture({}), 'data')
  const source = { MILLRACE_SOURCE_URL: 'postgres://nobody@127.0.0.1:1/x' }
  const kafka = { MILLRACE_KAFKA_BROKERS: '127.0.0.1:1' }
  const { signal } = new AbortController()
  const open = (env: Environment, needs: readonly Component[]) =>
    resolveServers(loadConfig({ flags: { directory }, env, cwd: directory }), quietLog(), signal, needs)
  for (const [env, needs, missing] of [
    [source, ['postgres', 'kafka'], /but kafka\.brokers does not/],
    [{ ...source, MILLRACE_KAFKA_BROKERS: '' }, ['postgres', 'kafka'], /but kafka\.brokers does not/],
    [{ ...source, ...kafka }, allComponents, /but clickhouse\.url does not/],
    [kafka, ['kafka', 'clickhouse'], /but clickhouse\.url does not/],
    [kafka, ['postgres', 'kafka'], /but source\.url does not/],
  ] as const) {
    await assert.refuses(() => open(env, needs), 'CONFIG_INVALID', missing)
  }
  const { code, stderr } = await millrace(
    'producer',
    '--set',
    'source.url=postgres://127.0.0.1:1/x',
    '--data',
    directory,
  )
  assert.is(code, 2)
  assert.match(stderr, 'where: kafka.brokers, or MILLRACE_KAFKA_BROKERS in the environment')
  assert.not.ok(existsSync(join(directory, 'stack.json')), 'nothing was started')
})

test('an invalid configuration is refused on stderr with exit code 2, with a stack only on request', async () => {
  const file = join(writeFixture({ 'm.yaml': 'nam: shop\n' }), 'm.yaml')
  const { code, stdout, stderr } = await millrace('config', 'check', '--config', file)
  assert.is(code, 2)
  assert.is(stdout, '')
  assert.match(stderr, 'm.yaml:1:1 nam: is no setting. Did you mean "name"?')
  assert.not.match(stderr, /^ {4}at /m)
  assert.match((await millrace('config', 'check', '--config', file, '--debug')).stderr, /^ {4}at /m)
})

test.run()
