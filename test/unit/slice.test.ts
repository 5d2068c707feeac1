// test/unit/slice.test: which records belong to a batch, and how the records are split into slices.

import { batchName, openBatches, readMetadata, writeMetadata } from '../../consumer/records/insert-intent.ts'
import {
  countRecords,
  firstSlice,
  halve,
  inOrder,
  ownRuns,
  type Slice,
  sliceOfRange,
  slicesBelow,
  withoutOffsets,
} from '../../consumer/records/slice.ts'
import type { Position } from '../../contract/position.ts'
import { envelope, fetchedRecords } from '../support/fixtures/fetched-records.ts'
import { assert, suite } from '../support/harness/suite.ts'

const server = '61f0c404-5cb3-11e7-907b-a6006ad3dba0'

const test = suite('slice')

const stopping = { envelope, stopsAtForeign: true }
const deadLettering = { envelope, stopsAtForeign: false }

/** Records at the given offsets, with growing positions. A negative offset means a truncate. */
function fetched(...offsets: number[]) {
  return fetchedAt(Math.abs(offsets[0] ?? 0), offsets)
}

function fetchedAt(fromOffset: number, offsets: readonly number[]) {
  const samples = offsets.map((offset, index) => ({
    ...{ offset: Math.abs(offset), lsn: index + 1 },
    ...(offset < 0 ? { kind: 'truncate' as const } : {}),
  }))
  return fetchedRecords(samples, fromOffset)
}

const first = (records: ReturnType<typeof fetched>, before?: Position) => firstSlice(records, deadLettering, before)
const range = (records: ReturnType<typeof fetched>, end: number, before?: Position) =>
  sliceOfRange(records, stopping, { end, before })

const shape = (slice: Slice | undefined) =>
  slice && { start: slice.start, end: slice.end, records: slice.to - slice.from, truncate: slice.truncate }

test('a slice reaches from the position to the last record', () => {
  assert.equal(shape(first(fetchedAt(4, [5, 6, 9]))), { start: 4, end: 10, records: 3, truncate: false })
  assert.is(first(fetched()), undefined)
})

test('a truncate ends the slice before it and has its own slice', () => {
  assert.equal(shape(first(fetched(5, 6, -7, 8))), { start: 5, end: 7, records: 2, truncate: false })
  assert.equal(shape(first(fetched(-7, -8, 9))), { start: 7, end: 8, records: 1, truncate: true })
})

test('the slices of a topic are sorted by partition, in any order of fetching', () => {
  const slices = [2, 0, 1].map(partition => first({ ...fetched(5), partition })!)
  for (const order of [slices, slices.toReversed()]) {
    assert.equal(
      inOrder(order).map(({ partition }) => partition),
      [0, 1, 2],
    )
  }
})

test('all slices below an offset have truncates alone and no repetitions', () => {
  const slices = [...slicesBelow(fetched(5, 6, -7, 8, 9), envelope, { end: 9, before: undefined })]
  assert.equal(
    slices.map(({ records, from, to, truncate }) => [...records.offsets.slice(from, to), truncate]),
    [
      [5, 6, false],
      [7, true],
      [8, false],
    ],
  )
  const again = [...slicesBelow(fetchedLsns(1, 2, 1, 2, 3), envelope, { end: 99, before: undefined })]
  assert.equal(
    again.map(({ from, to }) => [from, to]),
    [
      [0, 2],
      [4, 5],
    ],
  )
})

test('a range is returned only when it is complete, and without later records', () => {
  assert.is(range(fetched(5, 6), 8), undefined)
  assert.equal(shape(range(fetched(5, 6, 7, 8), 8)), { start: 5, end: 8, records: 3, truncate: false })
  assert.equal(shape(range(fetched(-7, 8), 8)), { start: 7, end: 8, records: 1, truncate: true })
})

/** Records from offset 10 on, at the given LSNs. */
function fetchedLsns(...lsns: number[]) {
  return fetchedRecords(lsns.map((lsn, index) => ({ offset: 10 + index, lsn })))
}

const at = (lsn: number) => ({ lsn, ordinal: 0 })

test('records that repeat earlier ones are left out, and end a slice', () => {
  const runs = (slice: Slice | undefined) =>
    slice && [slice.start, slice.from, slice.to, slice.end, slice.lastPosition?.lsn]
  assert.equal(runs(first(fetchedLsns(5, 6, 7), at(4))), [10, 0, 3, 13, 7])
  assert.equal(runs(first(fetchedLsns(5, 6, 7), at(6))), [10, 2, 3, 13, 7])
  assert.equal(runs(first(fetchedLsns(5, 6, 5, 6, 7), at(4))), [10, 0, 2, 12, 6])
  assert.is(first(fetchedLsns(5, 6), at(6)), undefined)
  assert.equal(runs(range(fetchedLsns(5, 6, 7, 8), 13, at(5))), [10, 1, 3, 13, 7])
})

test('a foreign record has no position, whatever its bytes are, and is not taken for one of millrace', () => {
  const foreign = (offset: number, lsn: number) => ({ offset, lsn, kind: 'foreign' }) as const
  const records = fetchedRecords([
    ...[{ offset: 10, lsn: 5 }, foreign(11, 1), foreign(12, 2 ** 52), { offset: 13, lsn: 6 }, { offset: 14, lsn: 6 }],
    foreign(15, 3),
  ])
  const about = (slice: Slice | undefined) =>
    slice && [slice.start, slice.from, slice.to, slice.end, slice.lastPosition?.lsn, [...slice.foreign.keys()]]
  assert.equal(about(firstSlice(records, deadLettering, at(4))), [10, 0, 4, 14, 6, [1, 2]])
  assert.equal(
    ownRuns(firstSlice(records, deadLettering, at(4))!).map(({ from, to }) => [from, to]),
    [
      [0, 1],
      [3, 4],
    ],
  )
  assert.equal(about(sliceOfRange(records, stopping, { end: 14, before: at(4) })), [10, 0, 4, 14, 6, [1, 2]])
  // With onError: stop, earlier records are inserted first, and the foreign record is in its own
  // slice.
  assert.equal(about(firstSlice(records, stopping, at(4))), [10, 0, 1, 11, 5, []])
  const alone = fetchedRecords([foreign(11, 2 ** 52), { offset: 12, lsn: 6 }])
  assert.equal(about(firstSlice(alone, stopping, at(5))), [11, 0, 1, 12, 5, [0]])
  assert.equal(about(firstSlice(fetchedRecords([foreign(0, 9)]), stopping)), [0, 0, 1, 1, undefined, [0]])
  // A repetition also ends a slice when only foreign records are before it.
  assert.equal(about(firstSlice(fetchedRecords([foreign(14, 9), { offset: 15, lsn: 6 }]), deadLettering, at(6))), [
    ...[14, 0, 1, 15, 6],
    [0],
  ])
})

test('halves of a slice have every record once, down to single records', () => {
  const slices = [first(fetched(1, 2, 3))!, first(fetched(10, 11, 12, 13))!]
  const singles = (list: readonly Slice[]): number[] => {
    if (countRecords(list) === 1) return [list[0]!.records.offsets[list[0]!.from]!]
    return halve(list).flatMap(singles)
  }
  assert.equal(singles(slices), [1, 2, 3, 10, 11, 12, 13])
})

test('present records are left out, in runs', () => {
  const slice = first(fetched(1, 2, 3, 4, 5, 6))!
  const runs = withoutOffsets(slice, new Set([1, 4])).map(({ from, to }) => [from, to])
  assert.equal(runs, [
    [1, 3],
    [4, 6],
  ])
  assert.equal(withoutOffsets(slice, new Set([1, 2, 3, 4, 5, 6])), [])
})

test('an insert intent survives writing and reading; foreign metadata is an error', () => {
  const batch = batchName([{ topic: 't', partition: 0, start: 3, end: 9 }])
  const intent = { end: 9, batch, server }
  const lastPosition = { lsn: 2 ** 53 - 1, ordinal: 7 }
  for (const standing of [
    { lastPosition, lastOffset: 2 ** 53 - 2, floor: 17, assignment: 3 },
    { lastPosition: undefined, lastOffset: -1, floor: 0, assignment: 2 ** 31 - 1 },
  ]) {
    assert.equal(readMetadata(writeMetadata(standing, intent), 'here'), { ...standing, intent })
    assert.equal(readMetadata(writeMetadata(standing), 'here'), { ...standing, intent: undefined })
  }
  const none = { lastPosition: undefined, lastOffset: -1, floor: 0, assignment: -1, intent: undefined }
  assert.equal(readMetadata('', 'here'), none)
  assert.throws(() => readMetadata('somebody else', 'here'), /metadata that this version cannot read/)
})

test('the name of a batch depends only on its ranges, not on their order', () => {
  const a = { topic: 't', partition: 0, start: 3, end: 9 }
  const b = { topic: 'u', partition: 1, start: 0, end: 1 }
  assert.is(batchName([a, b]), batchName([b, a]))
  assert.is.not(batchName([a, b]), batchName([a, { ...b, end: 2 }]))
})

test('an open batch consists of the partitions that still have its name', () => {
  const standing = { lastPosition: undefined, lastOffset: -1, floor: 0, assignment: 1 }
  const whole = batchName([
    { topic: 't', partition: 0, start: 3, end: 9 },
    { topic: 'u', partition: 0, start: 1, end: 2 },
  ])
  const left = batchName([
    { topic: 'u', partition: 1, start: 7, end: 8 },
    { topic: 't', partition: 1, start: 2, end: 5 },
  ])
  const open = openBatches([
    { topic: 't', partition: 0, offset: 3, ...standing, intent: { end: 9, batch: whole, server } },
    { topic: 't', partition: 1, offset: 5, ...standing, intent: undefined },
    { topic: 'u', partition: 0, offset: 1, ...standing, intent: { end: 2, batch: whole, server } },
    { topic: 'u', partition: 1, offset: 7, ...standing, intent: { end: 8, batch: left, server } },
  ])
  assert.equal(
    [...open].map(([batch, { ranges, isWhole }]) => [
      batch,
      isWhole,
      ranges.map(({ topic, partition, start, end }) => `${topic}${partition}:${start}-${end}`),
    ]),
    [
      [whole, true, ['t0:3-9', 'u0:1-2']],
      [left, false, ['u1:7-8']],
    ],
  )
})

test.run()
