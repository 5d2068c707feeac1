// test/unit/suite.test: each gap of the test library ends a file with exit code 1 and is counted as
// a failure.

import { importPath, startProgram, writeFixture } from '../support/harness/program.ts'
import { assert, suite, until } from '../support/harness/suite.ts'

interface Case {
  readonly body: string
  readonly totals: string
  readonly says?: RegExp
  readonly code?: number
  readonly env?: NodeJS.ProcessEnv
}

const head = `import { suite, assert, until, skip } from ${importPath('test/support/harness/suite.ts')}
import { MillraceError } from ${importPath('runtime/errors.ts')}
`

const cases: Record<string, Case> = {
  'a passing suite ends with 0': {
    body: `const test = suite('s'); test('a', () => {}); test('b', async () => {}); test.run()`,
    totals: 'passed=2 failed=0 skipped=0',
    code: 0,
  },
  'a failing assertion shows both sides, also where they print alike': {
    body: `const test = suite('s'); test('a', () => assert.equal({ n: 1n }, { n: '1' })); test.run()`,
    totals: 'passed=0 failed=1 skipped=0',
    says: /\{ n: 1n \} is not \{ n: '1' \}/,
  },
  'a failing before fails every test': {
    body: `const test = suite('s'); test.before(() => { throw new Error('no server') }); test('a', () => {}); test('b', () => {}); test.run()`,
    totals: 'passed=0 failed=2 skipped=0',
    says: /no server/,
  },
  'a failing before.each fails its test': {
    body: `const test = suite('s'); let n = 0; test.before.each(() => { if (n++) throw new Error('each') }); test('a', () => {}); test('b', () => {}); test.run()`,
    totals: 'passed=1 failed=1 skipped=0',
    says: /each/,
  },
  'a failing after is a failure of its own, and the later suites still run': {
    body: `const test = suite('s'); test.after(() => { throw new Error('no end') }); test('a', () => {}); test.run()
      const next = suite('t'); next('b', () => {}); next.run()`,
    totals: 'passed=2 failed=1 skipped=0',
    says: /FAIL after of "s": no end/,
  },
  'a failing after.each fails its test, and the later tests still run': {
    body: `const test = suite('s'); let n = 0; test.after.each(() => { if (!n++) throw new Error('late') }); test('a', () => {}); test('b', () => {}); test.run()`,
    totals: 'passed=1 failed=1 skipped=0',
    says: /late/,
  },
  'something else than an Error fails its test only': {
    body: `const test = suite('s'); test('a', () => { throw 'text' }); test('b', () => { throw undefined }); test('c', () => {}); test.run()`,
    totals: 'passed=1 failed=2 skipped=0',
    says: /not an Error, but thrown: 'text'/,
  },
  'a hanging test fails at its limit': {
    body: `const test = suite('s', { timeoutMs: 50 }); test('a', () => new Promise(() => {})); test('b', () => {}); test.run()`,
    totals: 'passed=1 failed=1 skipped=0',
    says: /"a" was still running after 50 ms/,
  },
  'a forgotten run is a failure': {
    body: `const test = suite('s'); test('a', () => {})`,
    totals: 'passed=0 failed=1 skipped=0',
    says: /declared but never run/,
  },
  'a file without tests is a failure': {
    body: `suite('s').run()`,
    totals: 'passed=0 failed=1 skipped=0',
    says: /no test was declared/,
  },
  'what is left open is a failure': {
    body: `const test = suite('s', { leakLimitMs: 100 }); test('a', () => { setInterval(() => {}, 1000) }); test.run()`,
    totals: 'passed=1 failed=1 skipped=0',
    says: /left open: .*Timeout/,
  },
  'leaving early is a failure': {
    body: `const test = suite('s'); test('a', () => {}); test('b', () => process.exit(0)); test.run()`,
    totals: 'passed=1 failed=1 skipped=0',
    says: /ended before its tests were through/,
  },
  'our own errors print where and next, others their cause': {
    body: `const test = suite('s')
      test('a', () => { throw new MillraceError('INTERNAL', { what: 'w', where: 'here', next: 'do this' }) })
      test('b', () => { throw new Error('outer', { cause: new Error('inner') }) })
      test.run()`,
    totals: 'passed=0 failed=2 skipped=0',
    says: /do this[\s\S]*inner/,
  },
  'a skip is counted and says why': {
    body: `const test = suite('s'); test('a', () => skip('kcat is not installed')); test('b', () => {}); test.run()`,
    totals: 'passed=1 failed=0 skipped=1',
    says: /^skipped: a: kcat is not installed$/m,
    code: 0,
    env: { CI: '' },
  },
  'a skip is a failure in continuous integration': {
    body: `const test = suite('s'); test('a', () => skip('kcat is not installed')); test.run()`,
    totals: 'passed=0 failed=1 skipped=0',
    env: { CI: 'true' },
  },
}

const test = suite('suite')

for (const [title, { body, totals, says = /(?:)/, code = 1, env }] of Object.entries(cases)) {
  test(title, async () => {
    const directory = writeFixture({ 'x.test.ts': head + body })
    const ended = await startProgram([`${directory}/x.test.ts`], env).ended
    assert.match(ended.stdout, `::tests ${totals}\n`)
    assert.match(ended.stdout + ended.stderr, says)
    assert.is(ended.code, code)
  })
}

test('until gives the first truthy value and waits through errors', async () => {
  let count = 0
  const value = await until(
    () => {
      count += 1
      if (count === 1) throw new Error('not yet')
      return count >= 3 && count
    },
    { what: 'three' },
  )
  assert.is(value, 3)
})

test('until names the awaited state, the line and the last error', async () => {
  const waiting = () => until(() => Promise.reject(new Error('refused')), { what: 'the server', timeoutMs: 30 })
  const error = await assert.rejects(waiting, /in vain for: the server/)
  assert.match(error.message, /suite\.test\.ts:\d+/)
  assert.match(error.message, /refused/)
})

test('rejects fails when nothing is thrown', async () => {
  await assert.rejects(() => assert.rejects(() => {}), /expected it to fail/)
})

test.run()
