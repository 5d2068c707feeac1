// test/unit/acknowledge.test: which LSN may be acknowledged to Postgres, and when the producer
// publishes a watermark.

import fc from 'fast-check'
import type { Watermark } from '../../contract/generation.ts'
import { Checkpoints } from '../../kafka/producer/checkpoints.ts'
import { LsnTracker } from '../../producer/stream/lsn-tracker.ts'
import { Watermarks } from '../../producer/stream/watermark.ts'
import { MemoryAppender } from '../support/fixtures/memory-appender.ts'
import { assert, suite, until } from '../support/harness/suite.ts'

const test = suite('acknowledge')

const ends = { offsets: [[7]], letters: 0 }

function openTracker(last: { lsn: number; commitTimeUs: number }): LsnTracker {
  const tracker = new LsnTracker(1)
  tracker.resume({ ...last, timeline: 1 })
  return tracker
}

test('WAL without captured changes is acknowledged too, and does not change the commit time', () => {
  const tracker = openTracker({ lsn: 100, commitTimeUs: 5 })
  tracker.advance(100, 10)
  tracker.advance(300)
  tracker.topicsDurable(300)
  assert.equal(tracker.watermark(ends), { lsn: 300, commitTimeUs: 10, timeline: 1, ...ends })
  tracker.watermarkDurable(300)
  assert.is(tracker.acknowledged, 300)
})

test('an LSN that became durable before the stream opened is acknowledged and published once it is open', () => {
  const tracker = openTracker({ lsn: 100, commitTimeUs: 5 })
  tracker.advance(200, 10)
  tracker.topicsDurable(200)
  const calls: (number | string)[] = []
  tracker.connect({ acknowledge: lsn => calls.push(lsn), publish: () => calls.push('publish') })
  assert.equal(calls, [100, 'publish'])
  tracker.watermarkDurable(200)
  tracker.topicsDurable(300)
  assert.equal(calls, [100, 'publish', 200, 200, 'publish'])
})

/** Events of a producer, in any order. */
const steps = fc.array(
  fc.oneof(
    fc.record({ does: fc.constant('commit' as const), records: fc.nat(3) }),
    fc.record({ does: fc.constant('keepalive' as const) }),
    fc.record({ does: fc.constant('Kafka takes' as const), records: fc.nat(4) }),
    fc.record({ does: fc.constant('publish' as const) }),
    fc.record({ does: fc.constant('watermark is durable' as const) }),
  ),
  { maxLength: 80 },
)

test('in any order of events, only LSNs that are in the topics and under a durable watermark are acknowledged', () => {
  fc.assert(
    fc.property(steps, given => {
      const tracker = openTracker({ lsn: 0, commitTimeUs: 1 })
      const checkpoints = new Checkpoints()
      const commits: { lsn: number; time: number; records: number }[] = []
      let [lsn, appended, taken, acknowledged] = [0, 0, 0, 0]
      let underWay: Watermark | undefined
      let durableWatermark = 0
      for (const step of given) {
        lsn += 10
        if (step.does === 'commit') {
          appended += step.records
          commits.push({ lsn, time: lsn * 7, records: appended })
          if (tracker.advance(lsn, lsn * 7)) checkpoints.push(lsn, appended)
        } else if (step.does === 'keepalive') {
          if (tracker.advance(lsn)) checkpoints.push(lsn, appended)
        } else if (step.does === 'Kafka takes') {
          taken = Math.min(appended, taken + step.records)
          if (checkpoints.advance(taken)) tracker.topicsDurable(checkpoints.durable)
        } else if (step.does === 'publish') {
          underWay ??= tracker.watermark(ends)
          const covered = commits.filter(commit => commit.lsn <= (underWay?.lsn ?? 0))
          for (const { records } of covered) assert.ok(records <= taken, 'it covers what is not in the topics')
        } else if (underWay !== undefined) {
          durableWatermark = underWay.lsn
          tracker.watermarkDurable(underWay.lsn)
          underWay = undefined
        }
        assert.ok(tracker.acknowledged >= acknowledged, 'it went back')
        acknowledged = tracker.acknowledged
        assert.ok(acknowledged <= durableWatermark, 'no durable watermark covers it')
        const inTopics = commits.filter(({ records }) => records <= taken)
        const lost = commits.filter(commit => commit.lsn <= acknowledged && !inTopics.includes(commit))
        assert.equal(lost, [])
      }
      const now = tracker.watermark(ends)
      if (now !== undefined) assert.is(now.commitTimeUs, commits.findLast(commit => commit.lsn <= now.lsn)?.time ?? 1)
    }),
  )
})

/** Keeps published watermarks. None is durable before the test decides so. */
class PublishedWatermarks extends MemoryAppender {
  readonly checkpoints: number[] = []
  checkpoint(lsn: number): void {
    this.checkpoints.push(lsn)
  }
  async flush(): Promise<void> {}
  async close(): Promise<void> {}
  get published(): Watermark[] {
    return this.records.map(({ value }) => JSON.parse(value.toString()) as Watermark)
  }
}

const at = (lsn: number): Watermark => ({ lsn, commitTimeUs: lsn, timeline: 1, ...ends })

function openWatermarks(last?: Watermark) {
  const appender = new PublishedWatermarks()
  let current: Watermark | undefined
  const watermarks = new Watermarks(appender, last)
  const reach = (lsn: number) => {
    current = at(lsn)
    watermarks.advance(() => current)
  }
  return { appender, watermarks, reach }
}

const lsns = (appender: PublishedWatermarks) => appender.published.map(({ lsn }) => lsn)

test('a watermark is published at once, with a checkpoint of its LSN, and never before a record is durable', () => {
  const { appender, watermarks, reach } = openWatermarks()
  watermarks.advance(() => undefined)
  assert.equal(appender.published, [])
  reach(100)
  assert.equal(appender.published, [at(100)])
  assert.equal(appender.checkpoints, [100])
  assert.equal(watermarks.last, at(100))
})

test('while a watermark is not durable no other is published; the next one has the newest LSN', async () => {
  const { appender, watermarks, reach } = openWatermarks()
  for (const lsn of [100, 200, 300]) reach(lsn)
  await new Promise(resolve => setTimeout(resolve, 70))
  assert.equal(lsns(appender), [100])
  watermarks.settled()
  await until(() => appender.published.length === 2, { what: 'the second watermark' })
  assert.equal(lsns(appender), [100, 300])
})

test('while changes flow, watermarks are about 50 ms apart; a stop does not wait for that', async () => {
  const { appender, watermarks, reach } = openWatermarks()
  const started = performance.now()
  let lsn = 0
  let ms = 0
  for (; ms < 250; ms = performance.now() - started) {
    reach(++lsn)
    watermarks.settled()
    await new Promise(setImmediate)
  }
  // Timers count from the start of the event loop's turn, so they may fire early on a busy machine.
  const count = appender.published.length
  assert.ok(count <= ms / 25 + 2, `${count} in ${ms} ms`)
  reach(++lsn)
  await watermarks.flush()
  assert.is(lsns(appender).at(-1), lsn)
})

test('watermarks of very many partitions are farther apart: together they have at most 1 MB/s', async () => {
  const { appender, watermarks } = openWatermarks()
  const partitions = Array.from({ length: 30_000 }, () => 1_000_000)
  const publish = (lsn: number) => watermarks.advance(() => ({ ...at(lsn), offsets: [partitions] }))
  publish(1)
  watermarks.settled()
  const bytes = appender.records[0]!.value.length
  assert.ok(bytes > 200_000)
  publish(2)
  await new Promise(resolve => setTimeout(resolve, 150))
  assert.equal(lsns(appender), [1])
  await until(() => appender.published.length === 2, { what: 'the second watermark' })
})

test('after a restart no watermark is below the last one of the predecessor', async () => {
  const { appender, watermarks, reach } = openWatermarks(at(200))
  for (const lsn of [100, 200]) reach(lsn)
  assert.equal(appender.published, [])
  assert.equal(watermarks.last, at(200))
  reach(201)
  assert.equal(lsns(appender), [201])
  await watermarks.close()
})

test.run()
