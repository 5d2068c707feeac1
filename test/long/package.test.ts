// test/long/package.test: the packed package, installed elsewhere, works
// between given servers.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const run = promisify(execFile)
const test = suite('package', { timeoutMs: 300_000 })
/** Bytes of all installed files. */
const largest = 15_000_000
const home = mkdtempSync(join(tmpdir(), 'package-'))
const program = join(home, 'node_modules/.bin/millrace')
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', home], { cwd: projectRoot })
  writeFileSync(join(home, 'package.json'), '{ "private": true }')
  const [archive] = stdout.trim().split('\n').slice(-1)
  await run('npm', ['install', join(home, archive!)], { cwd: home })
})
test.after(async () => {
  await services?.stop()
  rmSync(home, { recursive: true, force: true })
})

/** Runs the installed program to its end, in its installation folder. */
async function millrace(...args: string[]): Promise<{ code: number; output: string }> {
  const result = await run(program, args, { cwd: home }).catch(error => error)
  return { code: result.code ?? 0, output: result.stdout + result.stderr }
}

test('an installation is smaller than 15 MB', () => {
  const files = readdirSync(join(home, 'node_modules'), { recursive: true, encoding: 'utf8' })
  const sizes = files.map(file => statSync(join(home, 'node_modules', file))).filter(stat => stat.isFile())
  const bytes = sizes.reduce((sum, { size }) => sum + size, 0)
  assert.ok(bytes < largest, `${bytes} bytes`)
})

test('the help lists every command, and marks those that need missing packages', async () => {
  const { code, output } = await millrace('--help')
  assert.is(code, 0, output)
  for (const command of ['check', 'start', 'producer', 'consumer', 'status', 'verify', 'reset', 'forget'])
    assert.match(output, new RegExp(`^ {2}${command}\\b`, 'm'))
  assert.match(output, /^ {2}generator .*\(needs npm packages that are not installed\)$/m)
})

test('a command that needs a missing package names it with its installation, and starts nothing', async () => {
  for (const command of [
    ['demo', '--once'],
    ['generator', 'run'],
    ['generate', 'orders'],
    ['import', 'traffic', 'x'],
  ]) {
    const { code, output } = await millrace(...command)
    assert.is(code, 2, output)
    assert.match(output, /^PACKAGE_MISSING: this command needs the npm package \S+, which is not installed\n/)
  }
  const { code, output } = await millrace('up')
  assert.is(code, 2, output)
  assert.match(output, /^STACK_PREREQUISITE: Postgres is not installed/m)
  assert.not.match(output, 'is ready')
})

test('check and start work between given servers', async () => {
  await using pipeline = await startPipeline(services, {
    setup: `CREATE TABLE public.t (id int PRIMARY KEY, n int); ALTER TABLE public.t REPLICA IDENTITY FULL;
      INSERT INTO public.t VALUES (1, 1), (2, 2)`,
    start: false,
  })
  const files = ['--config', join(pipeline.directory, 'millrace.yaml'), '--data', pipeline.directory]
  const check = await millrace('check', ...files)
  assert.is(check.code, 0, check.output)
  const service = spawn(program, ['start', ...files], { cwd: home, stdio: 'ignore' })
  const ended = once(service, 'close')
  try {
    await pipeline.settle()
    await pipeline.sql('UPDATE public.t SET n = n + 1; DELETE FROM public.t WHERE id = 2')
    await pipeline.assertEqual()
  } finally {
    service.kill('SIGTERM')
  }
  assert.equal(await ended, [0, null])
})

test('the command that the error names installs what is missing', async () => {
  const { output: error } = await millrace('demo')
  const [, command] = /run: (npm install .+)$/m.exec(error)!
  await run('sh', ['-c', command!], { cwd: home })
  const help = await millrace('--help')
  assert.not.match(help.output, 'not installed')
  const files = ['--data', join(home, 'data')]
  const up = await millrace('up', ...files)
  await millrace('down', ...files)
  assert.is(up.code, 0, up.output)
})

test.run()
