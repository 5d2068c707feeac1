// test/unit/generator-rate.test: rates that change and pause, bursts, and schedules.

import { type Bursts, RateLimiter } from '../../generator/live/rate-limiter.ts'
import { follow, parseSchedule } from '../../generator/live/schedule.ts'
import { createLog } from '../../runtime/log.ts'
import { assert, suite } from '../support/harness/suite.ts'

const log = createLog('test', 'error')

/** Work done in half a second, ten units at a time. */
async function doneInHalfASecond(perSecond: number, bursts?: Bursts): Promise<number> {
  const limiter = new RateLimiter(perSecond, bursts)
  const signal = AbortSignal.timeout(500)
  let done = 0
  while (await limiter.turn(signal)) {
    done += 10
    limiter.done(10)
  }
  return done
}

const test = suite('generator rate')

test('the work done equals the rate, and a burst adds its size', async () => {
  const [even, burst] = await Promise.all([
    doneInHalfASecond(200),
    doneInHalfASecond(200, { every: 60, seconds: 60, factor: 5 }),
  ])
  assert.ok(even >= 50 && even <= 130, String(even))
  assert.ok(burst >= 250 && burst <= 560, String(burst))
})

test('a pause delays the next turn until it ends, and a new rate applies at once', async () => {
  const limiter = new RateLimiter(0.001)
  const { signal } = new AbortController()
  limiter.done(1)
  const turn = limiter.turn(signal)
  limiter.perSecond = 1000
  assert.is(await turn, true)
  limiter.paused = true
  assert.not.ok(limiter.behind)
  const paused = limiter.turn(signal)
  limiter.paused = false
  assert.is(await paused, true)
})

test('a signal ends the wait, paused or not', async () => {
  for (const paused of [true, false]) {
    const limiter = new RateLimiter(0.001)
    const controller = new AbortController()
    limiter.paused = paused
    limiter.done(1)
    const turn = limiter.turn(controller.signal)
    controller.abort()
    assert.is(await turn, false)
  }
})

test('an interval counts from its start, cron fields are in UTC, other schedules are refused', async () => {
  const start = new Date('2025-11-21T09:05:00Z')
  const every = parseSchedule('15m', start)
  assert.equal(every.after(start), new Date('2025-11-21T09:20:00Z'))
  assert.equal(every.after(new Date('2025-11-21T10:00:00Z')), new Date('2025-11-21T10:05:00Z'))
  const cron = parseSchedule('0 8 * * 1-5')
  assert.equal(cron.after(start), new Date('2025-11-24T08:00:00Z'))
  for (const text of ['', 'soon', '0m', '15', '-1h', '61 * * * *', '* * *']) {
    await assert.refuses(() => parseSchedule(text), 'USAGE', /is not a schedule/)
  }
})

test('a schedule runs until the signal; times that pass during the work are skipped', async () => {
  const controller = new AbortController()
  const at: number[] = []
  const due = [40, 80, 120, 200].map(ms => Date.now() + ms)
  const after = (time: Date) => {
    const next = due.find(each => each > time.getTime())
    return next === undefined ? undefined : new Date(next)
  }
  const work = async () => {
    at.push(Date.now())
    while (at.length === 1 && Date.now() < due[2]!) await new Promise(resolve => setImmediate(resolve))
  }
  await follow({ after }, work, { log, signal: controller.signal })
  assert.ok(at.length >= 2 && at.length <= 3, String(at))
  assert.ok(at.every((time, index) => time >= due[index]!))
  controller.abort()
  await follow(parseSchedule('1d'), work, { log, signal: controller.signal })
  assert.ok(at.length <= 3)
})

test.run()
