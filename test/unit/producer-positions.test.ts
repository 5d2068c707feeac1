// test/unit/producer-positions: which LSN is acknowledged, which watermark may be published, and
// which changes the source must send again.

import fc from 'fast-check'
import { parseWatermark, type Watermark } from '../../contract/generation.ts'
import { readHead } from '../../contract/head.ts'
import { LsnTracker } from '../../producer/stream/lsn-tracker.ts'
import { type LastRecordHead, Replay } from '../../producer/write/replay.ts'
import { openPipe, type Pipe, partitionOfOrder, partitions, relation, tuple } from '../support/fixtures/router-pipe.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('producer-positions')

const ends = { offsets: [[7]], letters: 2 }

function openTracker(last: { lsn: number; commitTimeUs: number }): LsnTracker {
  const tracker = new LsnTracker(1)
  tracker.resume({ ...last, timeline: 1 })
  return tracker
}

test('nothing is acknowledged before a watermark that covers it is durable', () => {
  const tracker = openTracker({ lsn: 0, commitTimeUs: 5 })
  tracker.advance(100, 10)
  tracker.topicsDurable(100)
  assert.is(tracker.acknowledged, 0)
  assert.equal(tracker.watermark(ends), { lsn: 100, commitTimeUs: 10, timeline: 1, ...ends })
  tracker.advance(200, 20)
  tracker.topicsDurable(200)
  tracker.watermarkDurable(100)
  assert.is(tracker.acknowledged, 100)
  tracker.watermarkDurable(200)
  assert.is(tracker.acknowledged, 200)
})

test('repeated changes that a watermark covers are acknowledged as they arrive', () => {
  const tracker = openTracker({ lsn: 500, commitTimeUs: 5 })
  assert.is(tracker.acknowledged, 0)
  tracker.advance(300, 10)
  tracker.topicsDurable(300)
  assert.is(tracker.acknowledged, 300)
})

test('a watermark has the timeline of the stream, and never an impossible time', () => {
  const tracker = openTracker({ lsn: 0, commitTimeUs: 0 })
  tracker.topicsDurable(100)
  for (const impossible of [Number.NaN, -1, 0, 1e17]) tracker.advance(100, impossible)
  assert.is(tracker.watermark(ends), undefined)
  tracker.advance(100, 10)
  tracker.timeline = 2
  assert.is(tracker.watermark(ends)!.timeline, 2)
})

test('a keepalive inside a transaction confirms received changes, not routed ones', () => {
  const { router, commits, replay } = openPipe()
  router.started({ confirmedLsn: 50, timeline: 1, pid: 7 })
  assert.is(router.received, 50)
  router.keepalive(60)
  router.begin(100, 5_000, 77)
  router.keepalive(90)
  assert.is(router.received, 90)
  router.commit(100, 108, 5_000)
  assert.is(router.received, 108)
  assert.equal(commits, [
    [60, 0],
    [108, 5_000],
  ])
  assert.is(replay.end, 0)
})

test('a watermark is read only as the producer writes it', () => {
  const tables = [2, 1].map(partitions => ({ schema: 's', table: 't', topic: 't', group: 'g', partitions }))
  const read = (text: string) => parseWatermark(Buffer.from(text), tables)
  const good: Watermark = { lsn: 1, commitTimeUs: 2, timeline: 1, offsets: [[0, 3], [4]], letters: 0 }
  assert.equal(read(JSON.stringify(good)), good)
  const others: Partial<Record<keyof Watermark, unknown>>[] = [
    ...[{ lsn: 1.5 }, { lsn: undefined }, { commitTimeUs: null }, { commitTimeUs: '2' }, { commitTimeUs: 0 }],
    ...[{ timeline: undefined }, { letters: -1 }, { offsets: [[0, 3]] }, { offsets: [[0], [4]] }],
    ...[{ offsets: [[0, -3], [4]] }, { offsets: [4, [4]] }],
  ]
  for (const other of others) assert.is(read(JSON.stringify({ ...good, ...other })), undefined, JSON.stringify(other))
  for (const time of ['99999999999999999', '99999999999999999999', '-1'])
    assert.is(read(JSON.stringify(good).replace('"commitTimeUs":2', `"commitTimeUs":${time}`)), undefined, time)
  for (const text of ['', 'x', 'null', '7']) assert.is(read(text), undefined, text)
})

const tail = (lsn: number, partition = 0): LastRecordHead => ({
  ...{ lsn, ordinal: 0, transaction: lsn + 7, commitTimeUs: lsn * 1000, snapshot: false },
  ...{ topic: 't', partition },
})

test('captured changes come again unchanged, in any order of the partitions', () => {
  const replay = new Replay([tail(300), tail(100, 1), tail(300, 2), tail(50, 3)])
  assert.is(replay.end, 301)
  replay.startAt(100)
  replay.begin(100, 100_000, 107)
  replay.reach(108)
  replay.begin(200, 1, 1)
  replay.begin(300, 300_000, 307)
  replay.begin(400, 2, 2)
})

test('another transaction at a known position, or none, means that the source has another history', async () => {
  const at = (begin: [number, number, number]) => () => {
    const replay = new Replay([tail(100)])
    replay.startAt(100)
    replay.begin(...begin)
  }
  for (const other of [
    [100, 100_001, 107],
    [100, 100_000, 108],
    [101, 100_000, 107],
  ] as [number, number, number][]) {
    const error = await assert.refuses(
      at(other),
      'SOURCE_WENT_BACK',
      /transaction 107 of 1970-01-01T00:00:00.100Z at LSN 0\/64/,
    )
    assert.is(error.where, 'topic t, partition 0')
  }
  const replay = new Replay([tail(100)])
  replay.startAt(90)
  replay.reach(100)
  await assert.refuses(() => replay.reach(101), 'SOURCE_WENT_BACK', /no such transaction/)
})

test('a change that a watermark covers and its partition lacks is not appended', async () => {
  const lastPositions = Array.from({ length: partitions }, () => ({ lsn: 100, ordinal: 0 }))
  const { router, records } = openPipe({ lastPositions, durable: 200 })
  router.begin(150, 5_000, 77)
  const error = await assert.refuses(
    () => router.insert(relation, tuple('1', '9', null, null)),
    'SOURCE_WENT_BACK',
    /LSN 0\/96/,
  )
  assert.is(error.where, `topic t.1.public.items, partition ${partitionOfOrder('9')}`)
  assert.equal(records(), [])
})

test('the router compares each transaction with the records of its topics', async () => {
  const { router } = openPipe({ replayed: [tail(100)] })
  await assert.refuses(() => router.begin(108, 5_000, 77), 'SOURCE_WENT_BACK')
})

test('a dead letter that a watermark covers is not written again, even if its topic has lost it', () => {
  const { router, deadLetters } = openPipe({ onError: 'dead-letter', durable: 200 })
  router.begin(150, 5_000, 77)
  router.insert(relation, tuple('1', '9', 'NaN', null))
  router.commit(150, 158, 5_000)
  router.begin(200, 5_000, 78)
  router.insert(relation, tuple('2', '9', 'NaN', null))
  assert.equal(
    deadLetters().map(({ change }) => change!.lsn),
    [200],
  )
})

/**
 * One transaction of inserts, by the partition key of each row. It ends where the next one may
 * begin.
 */
interface Committed {
  readonly lsn: number
  readonly xid: number
  readonly orders: readonly string[]
}

const history = (seed: number, from: number, count: number): Committed[] =>
  Array.from({ length: count }, (_, index) => ({
    lsn: from + index * 8,
    xid: seed + index,
    orders: Array.from({ length: 1 + ((seed + index * 7) % 4) }, (_, row) =>
      String((seed * 31 + index * 5 + row) % 40),
    ),
  }))

function send({ router, replay }: Pipe, transactions: readonly Committed[]): void {
  for (const { lsn, xid, orders } of transactions) {
    router.begin(lsn, lsn * 1000, xid)
    for (const order of orders) router.insert(relation, tuple(String(xid), order, null, null))
    router.commit(lsn, lsn + 8, lsn * 1000)
    replay.reach(lsn + 8)
  }
}

/** The records of each partition, as positions in order. */
function headsOf({ appender }: Pipe): LastRecordHead[][] {
  const heads: LastRecordHead[][] = Array.from({ length: partitions }, () => [])
  for (const { partition, value } of appender.records)
    heads[partition]!.push({ ...readHead(value, 0, value.length), topic: 't', partition })
  return heads
}

/** A producer that starts after a crash with the durable records and watermark. */
function restart(durable: readonly LastRecordHead[][], { watermark, slot }: { watermark: number; slot: number }): Pipe {
  const lastPositions = durable.map(heads => heads.at(-1))
  const pipe = openPipe({
    lastPositions,
    durable: watermark,
    replayed: lastPositions.filter(head => head !== undefined),
  })
  pipe.replay.startAt(slot)
  return pipe
}

const crash = fc.record({
  seed: fc.integer({ min: 1, max: 1000 }),
  covered: fc.integer({ min: 0, max: 12 }),
  acknowledged: fc.integer({ min: 0, max: 12 }),
  more: fc.array(fc.nat(20), { minLength: partitions, maxLength: partitions }),
})

/**
 * The state after a crash: the watermark covers some transactions, and each partition has some more
 * records.
 */
function crashed({ seed, covered, acknowledged, more }: typeof crash extends fc.Arbitrary<infer T> ? T : never) {
  const transactions = history(seed, 1_000, 12)
  const whole = openPipe()
  send(whole, transactions)
  const watermark = 1_000 + covered * 8
  const slot = 1_000 + Math.min(covered, acknowledged) * 8
  const full = headsOf(whole)
  const durable = full.map((heads, partition) =>
    heads.slice(0, heads.filter(({ lsn }) => lsn < watermark).length + more[partition]!),
  )
  return { transactions, full, durable, place: { watermark, slot } }
}

test('after any crash the producer resumes on the same history, and each partition has every change once', () => {
  fc.assert(
    fc.property(crash, options => {
      const { transactions, full, durable, place } = crashed(options)
      const pipe = restart(durable, place)
      send(
        pipe,
        transactions.filter(({ lsn }) => lsn >= place.slot),
      )
      const appended = headsOf(pipe)
      assert.equal(
        durable.map((heads, partition) => [...heads, ...appended[partition]!]),
        full,
      )
    }),
  )
})

test('after any crash another history is refused, wherever it branched off the captured one', async () => {
  await fc.assert(
    fc.asyncProperty(crash, fc.nat(11), async (options, kept) => {
      const { transactions, durable, place } = crashed(options)
      const left = Math.max(place.slot, 1_000 + kept * 8)
      const last = Math.max(...durable.map(heads => heads.at(-1)?.lsn ?? 0))
      fc.pre(last >= left)
      const pipe = restart(durable, place)
      const same = transactions.filter(({ lsn }) => lsn >= place.slot && lsn < left)
      await assert.refuses(() => send(pipe, [...same, ...history(5_000, left, 20)]), 'SOURCE_WENT_BACK')
    }),
  )
})

test.run()
