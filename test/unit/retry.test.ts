// test/unit/retry.test: which errors are retried, how long, and when retrying ends.

import { MillraceError } from '../../runtime/errors.ts'
import { createLog, type Log } from '../../runtime/log.ts'
import { type RetryOptions, retry } from '../../runtime/retry.ts'
import { assert, suite } from '../support/harness/suite.ts'

const unreachable = () => new MillraceError('KAFKA_UNREACHABLE', { what: 'no broker', next: 'wait' })

function options(extra: Partial<RetryOptions> = {}): RetryOptions {
  const signal = new AbortController().signal
  return { what: 'test', signal, log: createLog('test', 'error'), firstMs: 1, longestMs: 2, ...extra }
}

const test = suite('retry')

test('retry repeats until success, and counts attempts from 1', async () => {
  const counts: number[] = []
  const result = await retry(async count => {
    counts.push(count)
    if (count < 4) throw unreachable()
    return 'done'
  }, options())
  assert.is(result, 'done')
  assert.equal(counts, [1, 2, 3, 4])
})

test('errors for an operator, and unknown errors, are thrown at once', async () => {
  for (const error of [new MillraceError('USAGE', { what: 'a', next: 'b' }), new TypeError('bug')]) {
    let count = 0
    const attempt = async () => {
      count += 1
      throw error
    }
    assert.is(await assert.rejects(() => retry(attempt, options())), error)
    assert.is(count, 1)
  }
})

test('a dozen failures are logged; later ones after growing pauses or when the error changes', async () => {
  const said: unknown[] = []
  const log: Log = { ...createLog('test', 'error'), warn: (_, fields) => void said.push([fields?.count, fields?.code]) }
  await retry(async count => {
    if (count === 40) return
    throw count === 30 ? new MillraceError('CLICKHOUSE_BUSY', { what: 'full', next: 'wait' }) : unreachable()
  }, options({ log }))
  const first = Array.from({ length: 13 }, (_, index) => [index + 1, 'KAFKA_UNREACHABLE'])
  assert.equal(said, [...first, [30, 'CLICKHOUSE_BUSY'], [31, 'KAFKA_UNREACHABLE']])
})

test('retry gives up at its limit with the last error', async () => {
  let count = 0
  const failing = async () => {
    count += 1
    throw unreachable()
  }
  await assert.refuses(() => retry(failing, options({ limitMs: 200 })), 'KAFKA_UNREACHABLE')
  assert.ok(count > 2, `${count} attempts`)
})

test('an abort ends the pause with its reason, and prevents another attempt', async () => {
  const controller = new AbortController()
  const reason = new MillraceError('FENCED', { what: 'the member is no longer one', next: 'none' })
  let count = 0
  const failing = async () => {
    count += 1
    queueMicrotask(() => controller.abort(reason))
    throw unreachable()
  }
  const slow = options({ firstMs: 60_000, longestMs: 60_000, signal: controller.signal })
  assert.is(await assert.rejects(() => retry(failing, slow)), reason)
  assert.is(await assert.rejects(() => retry(failing, slow)), reason)
  assert.is(count, 1)
})

test.run()
