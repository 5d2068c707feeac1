// test/unit/health: a service is alive while its loop works or waits for a known reason, and log
// reminders become rarer.

import { ProducerProgress } from '../../producer/progress.ts'
import { healthRoutes, Pulse } from '../../runtime/health.ts'
import { Answer } from '../../runtime/http.ts'
import { Reminder } from '../../runtime/reminder.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('health')

/** A clock in ms that only moves when the test moves it. */
function clock() {
  let at = 0
  const pass = (ms: number) => {
    at += ms
  }
  return { now: () => at, pass }
}

function answer(routes: ReturnType<typeof healthRoutes>, path: string): unknown[] {
  const given = routes[path]!({ url: new URL('http://x'), params: {} })
  assert.instance(given, Answer)
  const { status, body } = given as Answer
  return [status, body]
}

test('a loop without progress for five minutes hangs, unless it waits for a known reason', async () => {
  const time = clock()
  const pulse = new Pulse(time.now)
  const routes = healthRoutes(pulse, () => 'Kafka is away')
  time.pass(299_000)
  assert.equal(answer(routes, '/livez'), [200, { ok: true }])
  assert.equal(answer(routes, '/readyz'), [503, { ok: false, why: 'Kafka is away' }])
  time.pass(2_000)
  assert.equal(answer(routes, '/livez'), [503, { ok: false, why: 'nothing was done for 301 s' }])
  pulse.beat()
  assert.equal(answer(routes, '/livez'), [200, { ok: true }])
  let end = () => {}
  const waiting = pulse.during(
    new Promise<void>(resolve => {
      end = resolve
    }),
  )
  time.pass(3_600_000)
  assert.is(pulse.hangs(), undefined)
  end()
  await waiting
  assert.is(pulse.hangs(), undefined)
  time.pass(301_000)
  assert.is(pulse.hangs(), 'nothing was done for 301 s')
})

test('a lasting state is logged again after pauses that double up to ten minutes, and at once when it changes', () => {
  const time = clock()
  const reminder = new Reminder(time.now)
  const said: number[] = []
  for (let second = 0; second <= 3600; second++) {
    if (reminder.isDue('pid 7')) said.push(second)
    time.pass(1000)
  }
  assert.equal(said, [0, 15, 45, 105, 225, 465, 945, 1545, 2145, 2745, 3345])
  assert.ok(reminder.isDue('pid 8'))
  assert.not.ok(reminder.isDue('pid 8'))
  reminder.forget()
  assert.ok(reminder.isDue('pid 8'))
})

test('a producer is ready only while it streams and its records become durable', () => {
  const progress = new ProducerProgress()
  assert.is(progress.stopsFlow(1000), 'the producer is starting')
  progress.phase = 'streaming'
  assert.match(progress.stopsFlow(1000)!, /^nothing has become durable in Kafka since/)
  progress.flowed()
  assert.is(progress.stopsFlow(60_000), undefined)
  assert.match(progress.stopsFlow(-1)!, /^nothing has become durable in Kafka for 0 s/)
  progress.waitingFor = 'making the slot waits for pid 7'
  assert.is(progress.stopsFlow(60_000), 'making the slot waits for pid 7')
  progress.waitingFor = undefined
  progress.failed(new Error('it broke'))
  assert.is(progress.stopsFlow(60_000), 'INTERNAL: it broke')
})

test.run()
