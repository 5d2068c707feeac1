// test/unit/runner.test: the runner counts every test, ends what hangs and leaves nothing behind.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { leftovers } from '../support/harness/leftovers.ts'
import { importPath, startProgram, writeFixture } from '../support/harness/program.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { closingLine } from '../support/harness/totals.ts'
import { type Layer, runTests } from '../support/runner/runner.ts'

const head = `import { suite } from ${importPath('test/support/harness/suite.ts')}\nconst test = suite('s')\n`
const passing = `${head}test('a', () => {}); test('b', () => {}); test.run()`
const failing = `${head}test('a', () => { throw new Error('wrong sum') }); test.run()`

const layers: readonly Layer[] = [
  { name: 'unit', limitMs: 20_000 },
  { name: 'service', limitMs: 20_000 },
]

async function run(
  files: Record<string, string>,
  options: { wanted?: string[]; layers?: readonly Layer[]; width?: number; signal?: AbortSignal } = {},
) {
  const root = writeFixture(files)
  const lines: string[] = []
  const signal = options.signal ?? new AbortController().signal
  const totals = await runTests({
    root,
    layers,
    width: 2,
    wanted: [],
    live: false,
    ...options,
    signal,
    print: line => void lines.push(line),
  })
  return { root, text: lines.join('\n'), closing: closingLine(totals) }
}

const test = suite('runner')

test('the runner adds up the files of every layer and prints the output of failed ones', async () => {
  const { closing, text } = await run({ 'unit/a.test.ts': passing, 'service/b.test.ts': failing, 'unit/helper.ts': '' })
  assert.is(closing, '2 passed, 1 failed')
  assert.match(text, /ok {3}unit\/a\.test\.ts/)
  assert.match(text, /FAIL service\/b\.test\.ts/)
  assert.match(text, /wrong sum/)
})

test('the runner runs only the chosen layers and files; a name without a file counts as a failure', async () => {
  const files = { 'unit/a.test.ts': passing, 'service/b.test.ts': failing }
  assert.is((await run(files, { wanted: ['unit'] })).closing, '2 passed, 0 failed')
  assert.is((await run(files, { wanted: ['b.te'] })).closing, '0 passed, 1 failed')
  const unknown = await run(files, { wanted: ['unit', 'nothing'] })
  assert.is(unknown.closing, '2 passed, 1 failed')
  assert.match(unknown.text, /no test file matches "nothing"; the layers are unit,service/)
})

test('a file that reports nothing is a failure', async () => {
  const { closing, text } = await run({
    'unit/a.test.ts': 'export {}',
    'unit/b.test.ts': 'process.exit(3)',
    'unit/c.test.ts': 'syntax error',
  })
  assert.is(closing, '0 passed, 3 failed')
  assert.match(text, /exit 0\) without reporting its tests/)
  assert.match(text, /exit 3\) without reporting its tests/)
})

test('a file over its limit is killed with all it started', async () => {
  const body = `import { spawn } from 'node:child_process'
    process.on('SIGTERM', () => {})
    spawn('sleep', ['1000'])
    while (true) await new Promise(resolve => setTimeout(resolve, 1000))`
  const short = [{ name: 'unit', limitMs: 1_500 }]
  const { closing, text } = await run({ 'unit/a.test.ts': body }, { layers: short })
  assert.is(closing, '0 passed, 1 failed')
  assert.match(text, /ended after its limit of 1\.5 s/)
})

test('a process that outlives its file is named, killed and counted as a failure; its files are removed', async () => {
  const body = `import { spawn } from 'node:child_process'
    import { mkdtempSync, writeFileSync } from 'node:fs'
    import { tmpdir } from 'node:os'
    writeFileSync(${JSON.stringify('PLACE')}, tmpdir())
    mkdtempSync(tmpdir() + '/left-')
    ${head}test('a', () => { spawn('sleep', ['1000'], { detached: true, stdio: 'inherit' }).unref() }); test.run()`
  const place = join(writeFixture({}), 'directory')
  const { closing, text } = await run({ 'unit/a.test.ts': body.replace('PLACE', place) })
  assert.is(closing, '1 passed, 1 failed')
  assert.match(text, /left process \d+ running: sleep 1000/)
  const directory = readFileSync(place, 'utf8')
  assert.equal(leftovers(directory), [])
  assert.not(existsSync(directory))
})

test('an interrupt ends the running file and starts no other', async () => {
  const controller = new AbortController()
  const begun = join(writeFixture({}), 'begun')
  const body = `import { writeFileSync } from 'node:fs'
    writeFileSync(${JSON.stringify(begun)}, '')
    await new Promise(resolve => setTimeout(resolve, 60_000))`
  const running = run({ 'unit/a.test.ts': body, 'service/b.test.ts': passing }, { signal: controller.signal, width: 1 })
  await until(() => existsSync(begun), { what: 'the file to run' })
  controller.abort()
  const { closing, text } = await running
  assert.is(closing, '0 passed, 1 failed')
  assert.match(text, /a\.test\.ts was interrupted/)
})

test('npm test closes with the totals and exits with 1 when nothing ran', async () => {
  const { code, stdout } = await startProgram(['test/support/runner/run.ts', 'no such file']).ended
  assert.match(stdout, /\n0 passed, 1 failed\n$/)
  assert.is(code, 1)
})

test.run()
