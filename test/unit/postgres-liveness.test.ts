// test/unit/postgres-liveness: how often a replication connection is pinged, and when its silence
// ends it.
// The clock is node's own mock.

import { mock } from 'node:test'
import { Liveness } from '../../postgres/client/liveness.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('postgres-liveness')
test.before.each(() => mock.timers.enable({ apis: ['setInterval'] }))
test.after.each(() => mock.timers.reset())

interface Observed {
  readonly pings: boolean[]
  readonly silences: number[]
  readonly liveness: Liveness
}

function observe(walSenderTimeoutMs: number, bytesRead = () => 0): Observed {
  const pings: boolean[] = []
  const silences: number[] = []
  const liveness = new Liveness({
    walSenderTimeoutMs,
    bytesRead,
    ping: replyRequested => pings.push(replyRequested),
    onSilence: silentMs => silences.push(silentMs),
  })
  return { pings, silences, liveness }
}

test('the ping period is a third of the server limit, and at most 20 s', () => {
  for (const [limitMs, periodMs] of [
    [6_000, 2_000],
    [60_000, 20_000],
    [3_600_000, 20_000],
    [0, 20_000],
  ] as const) {
    const { pings, liveness } = observe(limitMs)
    mock.timers.tick(periodMs - 1)
    assert.is(pings.length, 0)
    mock.timers.tick(1)
    assert.is(pings.length, 1)
    liveness.stop()
  }
})

test('a dead peer is detected within two minutes although the server would wait for an hour', () => {
  const { silences, liveness } = observe(3_600_000)
  mock.timers.tick(120_000)
  assert.ok(silences.length > 0)
  liveness.stop()
})

test('a paused stream is pinged without asking for answers, and its silence means nothing', () => {
  const { pings, silences, liveness } = observe(6_000)
  liveness.setPaused(true)
  mock.timers.tick(60_000)
  assert.equal([...new Set(pings)], [false])
  assert.equal(silences, [])
  liveness.stop()
})

test.run()
