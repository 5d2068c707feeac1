// test/unit/stack-lock.test: the lock that lets one command at a time change a stack.

import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MillraceError } from '../../runtime/errors.ts'
import { withLock } from '../../stack/lock.ts'
import { identify } from '../../stack/processes.ts'
import { assert, suite } from '../support/harness/suite.ts'

const directory = mkdtempSync(join(tmpdir(), 'lock-'))
const options = { timeoutMs: 20_000, signal: new AbortController().signal }
const test = suite('stack lock')

test.after(() => rmSync(directory, { recursive: true }))

test('one holder at a time, and everyone gets it', async () => {
  const lock = join(directory, 'contended')
  let holders = 0
  let most = 0
  const work = async () => {
    most = Math.max(most, ++holders)
    await new Promise(setImmediate)
    holders--
    return 1
  }
  const results = await Promise.all(Array.from({ length: 8 }, () => withLock(lock, options, work)))
  assert.equal(results.length, 8)
  assert.equal(most, 1)
  assert.equal(readdirSync(lock), [])
})

test('entries of ended processes, and of other processes with their ids, do not hold the lock', async () => {
  const lock = join(directory, 'stale')
  await withLock(lock, options, async () => {})
  const parent = await identify(process.ppid)
  for (const name of ['4194303-1-dead', `${parent?.pid}-0-recycled`, 'nonsense']) writeFileSync(join(lock, name), '')
  await withLock(lock, options, async () => assert.is(readdirSync(lock).length, 1))
})

test('a living holder is named after the time limit, and its lock is left alone', async () => {
  const lock = join(directory, 'held')
  await withLock(lock, options, async () => {
    let waitedFor = 0
    const refused = withLock(lock, { ...options, timeoutMs: 0, onWait: pid => (waitedFor = pid) }, async () => {})
    const error = await refused.then(
      () => undefined,
      caught => caught as unknown,
    )
    assert.ok(error instanceof MillraceError && error.code === 'STACK_BUSY', String(error))
    assert.is(waitedFor, process.pid)
    assert.is(readdirSync(lock).length, 1)
  })
})

test('work that throws releases the lock', async () => {
  const lock = join(directory, 'thrown')
  const failed = await withLock(lock, options, () => Promise.reject(new Error('work'))).catch(error => error.message)
  assert.is(failed, 'work')
  assert.ok(existsSync(lock))
  assert.equal(readdirSync(lock), [])
})

test.run()
