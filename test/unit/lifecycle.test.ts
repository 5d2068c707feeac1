// test/unit/lifecycle.test: how a process stops: by itself, by signals, after its deadline, and
// when its reader is gone.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { importPath, type Program, startProgram, writeFixture } from '../support/harness/program.ts'
import { assert, suite, until } from '../support/harness/suite.ts'

const head = `import { runUntilStopped } from ${importPath('runtime/lifecycle.ts')}
import { createLog } from ${importPath('runtime/log.ts')}
const log = createLog('t', 'info', false)
const say = text => process.stdout.write(text + '\\n')
const stopped = signal => new Promise(resolve => signal.addEventListener('abort', resolve))
`
const waiting = `process.exitCode = await runUntilStopped(async lifecycle => {
  lifecycle.opened('first', () => say('closed first'))
  lifecycle.opened('second', async () => say('closed second'))
  const alive = setInterval(() => {}, 1000)
  say('ready')
  await stopped(lifecycle.signal)
  clearInterval(alive)
  return 0
}, { log })`

function fixture(body: string): string {
  return join(writeFixture({ 'main.ts': head + body }), 'main.ts')
}

async function ready(program: Program): Promise<void> {
  await until(() => program.written().includes('ready'), { what: 'ready' })
}

const test = suite('lifecycle')

for (const [signal, code] of [
  ['SIGTERM', 0],
  ['SIGHUP', 0],
  ['SIGINT', 130],
] as const) {
  test(`${signal} lets the work finish, closes the last opened first and ends with ${code}`, async () => {
    const program = startProgram([fixture(waiting)])
    await ready(program)
    process.kill(program.pid, signal)
    const ended = await program.ended
    assert.is(ended.stdout, 'ready\nclosed second\nclosed first\n')
    assert.is(ended.code, code)
  })
}

test('work that ends by itself is closed and gives its own code', async () => {
  const body = `process.exitCode = await runUntilStopped(async lifecycle => { lifecycle.opened('a', () => say('closed')); return 1 }, { log })`
  const ended = await startProgram([fixture(body)]).ended
  assert.is(ended.stdout, 'closed\n')
  assert.is(ended.code, 1)
})

test('work that fails is closed, and its error takes precedence over errors of closing', async () => {
  const body = `try {
    await runUntilStopped(async lifecycle => {
      lifecycle.opened('a', () => say('closed a'))
      lifecycle.opened('b', () => { throw new Error('b does not close') })
      throw new Error('the work failed')
    }, { log })
  } catch (error) { say(error.message) }`
  assert.is((await startProgram([fixture(body)]).ended).stdout, 'closed a\nthe work failed\n')
})

test('an error of closing is thrown when the work itself succeeded', async () => {
  const body = `try {
    await runUntilStopped(async lifecycle => {
      lifecycle.opened('a', () => { throw new Error('a does not close') })
      return 0
    }, { log })
  } catch (error) { say(error.message) }`
  assert.is((await startProgram([fixture(body)]).ended).stdout, 'a does not close\n')
})

test('an abort caused by stopping is no error', async () => {
  const body = `import { setTimeout as pause } from 'node:timers/promises'
    process.exitCode = await runUntilStopped(async lifecycle => { say('ready'); await pause(60_000, undefined, { signal: lifecycle.signal }); return 0 }, { log })`
  const program = startProgram([fixture(body)])
  await ready(program)
  process.kill(program.pid, 'SIGTERM')
  const ended = await program.ended
  assert.is(ended.code, 0)
  assert.not.match(ended.stderr, /Error/)
})

test('work that does not stop is ended at the deadline and named', async () => {
  const body = `process.exitCode = await runUntilStopped(async lifecycle => {
    lifecycle.opened('kafka', () => {})
    lifecycle.opened('clickhouse', () => new Promise(() => {}))
    say('ready')
    await stopped(lifecycle.signal)
    return 0
  }, { log, deadlineMs: 200 })
  `
  const program = startProgram([fixture(`setInterval(() => {}, 1000)\n${body}`)])
  await ready(program)
  process.kill(program.pid, 'SIGTERM')
  const ended = await program.ended
  assert.match(ended.stderr, /not stopped within 200 ms unfinished="kafka, clickhouse"/)
  assert.is(ended.code, 130)
})

test('a duplicate of the first signal does not count; a later signal ends the process at once', async () => {
  const body = `setInterval(() => {}, 1000)
    process.exitCode = await runUntilStopped(async lifecycle => { say('ready'); await new Promise(() => {}); return 0 }, { log, deadlineMs: 60_000 })`
  const program = startProgram([fixture(body)])
  await ready(program)
  process.kill(program.pid, 'SIGINT')
  process.kill(program.pid, 'SIGINT')
  const asked = performance.now()
  await until(() => performance.now() - asked > 600, { what: 'the echo to be over' })
  assert.match(program.written(), /stopping/)
  process.kill(program.pid, 'SIGINT')
  const ended = await program.ended
  assert.match(ended.stderr, /asked to stop a second time/)
  assert.is(ended.code, 130)
})

test('a process stops silently when its reader goes away', async () => {
  const body = `process.exitCode = await runUntilStopped(async lifecycle => {
    while (!lifecycle.signal.aborted) { say('ready'); await new Promise(resolve => setImmediate(resolve)) }
    return 0
  }, { log })`
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), fixture(body)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', chunk => (stderr += chunk))
  await once(child.stdout, 'data')
  child.stdout.destroy()
  const [code] = await once(child, 'close')
  assert.is(stderr, '')
  assert.is(code, 0)
})

test.run()
