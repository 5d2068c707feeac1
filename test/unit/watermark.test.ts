// test/unit/watermark.test: which watermark the tables cover, when it is written, and how many are
// kept while the tables are behind.

import { isCovered, type ScopePoint, WatermarkFollower } from '../../consumer/warehouse/watermark.ts'
import { type Generation, generationFormat } from '../../contract/generation.ts'
import { recordSetOf } from '../support/fixtures/record-set.ts'
import { assert, suite, until } from '../support/harness/suite.ts'

const test = suite('watermark')

const tables = Array.from({ length: 10 }, (_, index) => {
  return { schema: 'public', table: `t${index}`, topic: `t${index}`, group: `g${index}`, partitions: 4 }
})
const about = { format: generationFormat, number: 1, id: 'x', state: 'live', slot: 's', source: '7/x' } as const
const rules = { timeline: 1, maxRecordBytes: 1_000_000, refusalRules: 1 }
const generation: Generation = { ...about, ...rules, kafkaCluster: 'K', consistentPoint: 1, tables }

/** A watermark whose LSN and offsets are `at`. */
const watermarkAt = (at: number) => ({
  ...{ lsn: at, commitTimeUs: at + 1, timeline: 1, letters: 0 },
  offsets: tables.map(() => new Array<number>(4).fill(at)),
})
const recordsOf = (...values: unknown[]) => recordSetOf(values.map(value => Buffer.from(JSON.stringify(value))))
/** All partitions are visible up to this offset, except those of one table. */
const upTo =
  (offset: number, last = offset) =>
  (topic: string) =>
    topic === 't9' ? last : offset

function followerOf(...lsns: number[]): WatermarkFollower {
  const follower = new WatermarkFollower(generation)
  follower.add(recordsOf(...lsns.map(watermarkAt)))
  return follower
}

test('a watermark is covered once each partition is visible up to the offset that it names, and no earlier', () => {
  const two = [{ topic: 'orders' }, { topic: 'items' }]
  const watermark = { offsets: [[5, 0], [9]] }
  const covered = (orders: readonly [number, number], items: number) =>
    isCovered(watermark, two, (topic, partition) => (topic === 'orders' ? orders[partition as 0 | 1] : items))
  assert.ok(covered([5, 0], 9))
  assert.ok(covered([6, 2], 10))
  assert.not(covered([4, 0], 9))
  assert.not(covered([5, 0], 8))
  assert.not(covered([100, 100], 0))
})

test('the newest covered watermark counts, later ones wait, and it stays when nothing more is covered', () => {
  const follower = followerOf(10, 20, 30)
  assert.is(follower.cover(upTo(9)), undefined)
  assert.is(follower.cover(upTo(25))?.lsn, 20)
  assert.is(follower.covered?.lsn, 20)
  assert.is(follower.cover(upTo(29))?.lsn, 20)
  assert.is(follower.cover(upTo(30, 29))?.lsn, 20, 'one table is behind')
  assert.is(follower.newest?.lsn, 30)
  assert.is(follower.cover(upTo(30))?.lsn, 30)
  assert.is(follower.newest?.lsn, 30)
})

test('a takeover forgets what was covered, until a watermark is found to be covered again', () => {
  const follower = followerOf(10, 20)
  assert.is(follower.cover(upTo(15))?.lsn, 10)
  follower.forget()
  assert.is(follower.covered, undefined)
  assert.is(follower.cover(upTo(15)), undefined)
  // The consumer reads the newest watermark again.
  assert.is(follower.add(recordsOf(watermarkAt(20))), 0)
  assert.is(follower.cover(upTo(20))?.lsn, 20)
})

test('points are due when they are new, and not right after others', async () => {
  const follower = followerOf(10)
  const pointsAt = (lsn: number): ScopePoint[] => [['', { lsn, commitTimeUs: 1 }]]
  const [ten, twenty] = [pointsAt(10), pointsAt(20)]
  assert.ok(follower.isDue(ten))
  const started = performance.now()
  follower.wrote(watermarkAt(10), ten)
  assert.equal(follower.written, watermarkAt(10))
  assert.not(follower.isDue(twenty))
  await until(() => follower.isDue(twenty), { what: 'the pause between two watermarks is over' })
  assert.ok(performance.now() - started >= 100)
  follower.wrote(watermarkAt(20), twenty)
  assert.not(follower.isDue(twenty))
})

test('there is nothing to do once the newest watermark is covered and written', () => {
  const follower = followerOf(10)
  assert.not(follower.isIdle)
  const covered = follower.cover(upTo(10))!
  assert.not(follower.isIdle)
  follower.wrote(covered)
  assert.ok(follower.isIdle)
  follower.add(recordsOf(watermarkAt(20)))
  assert.not(follower.isIdle)
})

test('the tables stand still since a watermark was last newly covered', async () => {
  const follower = followerOf(10)
  follower.cover(upTo(10))
  const { coveredAt } = follower
  assert.ok(performance.now() - coveredAt < 1_000)
  await until(() => performance.now() > coveredAt, { what: 'the clock moves on' })
  follower.cover(upTo(10))
  assert.is(follower.coveredAt, coveredAt)
  follower.add(recordsOf(watermarkAt(20)))
  follower.cover(upTo(20))
  assert.ok(follower.coveredAt > coveredAt)
})

test('a backlog of hours keeps a few hundred watermarks, from its beginning to its end', () => {
  const follower = new WatermarkFollower(generation)
  for (let turn = 0; turn < 400; turn++) {
    const turns = Array.from({ length: 50 }, (_, index) => watermarkAt(turn * 50 + index))
    assert.is(follower.add(recordsOf(...turns)), 0)
  }
  assert.is(follower.newest?.lsn, 19_999)
  const kept = new Set<number>()
  for (let offset = 0; offset < 20_000; offset++) kept.add(follower.cover(upTo(offset))?.lsn ?? -1)
  kept.delete(-1)
  assert.ok(kept.size <= 256, `${kept.size} are kept`)
  assert.ok(kept.size >= 128)
  assert.ok(Math.min(...kept) < 1_000, 'an old one is kept')
})

test('records that are no watermarks of this generation are counted and ignored', () => {
  const follower = followerOf(10)
  assert.is(follower.add(recordsOf('somebody else', { ...watermarkAt(50), offsets: [[50]] }, watermarkAt(20))), 2)
  assert.is(follower.newest?.lsn, 20)
  assert.is(follower.cover(upTo(100))?.lsn, 20)
})

test.run()
