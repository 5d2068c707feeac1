// test/unit/wait.test: sleeping, polling, giving up after a time, and the length of a backoff.

import { backoffMs, endsWithin, sleep, waitUntil } from '../../runtime/wait.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('wait')

test("a sleep and a poll end with the signal's own reason", async () => {
  const reason = new Error('the group was left')
  const signal = AbortSignal.abort(reason)
  assert.is(await assert.rejects(() => sleep(60_000, signal)), reason)
  assert.is(await assert.rejects(() => waitUntil(() => false, { signal })), reason)
})

test('a poll returns the first value, and undefined after its time', async () => {
  let asked = 0
  const third = () => {
    asked += 1
    return asked === 3 && 'ready'
  }
  assert.is(await waitUntil(third, { everyMs: 1 }), 'ready')
  assert.is(await waitUntil(() => undefined, { timeoutMs: 5, everyMs: 1 }), undefined)
})

test('work ends in time, fails in time, or is abandoned', async () => {
  const failure = new Error('broken')
  assert.is(await endsWithin(Promise.resolve(), 60_000), true)
  assert.is(await endsWithin(new Promise(() => {}), 1), false)
  assert.is(await assert.rejects(() => endsWithin(Promise.reject(failure), 60_000)), failure)
})

test('a backoff doubles up to its bound, and is drawn between half of its length and all of it', () => {
  const backoff = { firstMs: 100, longestMs: 1000 }
  for (const [failures, longest] of [
    [1, 100],
    [3, 400],
    [5, 1000],
    [50, 1000],
  ] as const)
    for (let draw = 0; draw < 20; draw++) {
      const ms = backoffMs(failures, backoff)
      assert.ok(ms >= longest / 2 && ms <= longest, `${ms} ms after ${failures} failures`)
    }
})

test.run()
