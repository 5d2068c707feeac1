// test/unit/slice.test: which records a batch consists of, and how it is cut.
// May know: consumer/{intent,slice}.

import { batchName, openBatches, readMetadata, writeMetadata } from '../../consumer/intent.ts'
import {
  countRecords,
  firstSlice,
  halve,
  type Slice,
  sliceOfRange,
  slicesOf,
  withoutOffsets,
} from '../../consumer/slice.ts'
import type { RecordSet } from '../../kafka/record-batch.ts'
import { assert, suite } from '../support/suite.ts'

const server = '61f0c404-5cb3-11e7-907b-a6006ad3dba0'

const test = suite('slice')

/** Records at the given offsets; a truncate is written as a negative offset. */
function fetched(...offsets: number[]) {
  return fetchedAt(Math.abs(offsets[0] ?? 0), offsets)
}

function fetchedAt(fromOffset: number, offsets: readonly number[]) {
  const records: RecordSet = {
    count: offsets.length,
    buffer: Buffer.alloc(0),
    offsets: Float64Array.from(offsets, Math.abs),
    timestamps: new Float64Array(offsets.length),
    keyStarts: Int32Array.from(offsets, offset => (offset < 0 ? -1 : 0)),
    keyEnds: new Int32Array(offsets.length),
    valueStarts: new Int32Array(offsets.length),
    valueEnds: new Int32Array(offsets.length),
    nextOffset: Math.abs(offsets.at(-1) ?? 0) + 1,
  }
  return { topic: 't', partition: 0, end: 100, logStartOffset: 0, records, fromOffset }
}

const shape = (slice: Slice | undefined) =>
  slice && { start: slice.start, end: slice.end, records: slice.to - slice.from, truncate: slice.truncate }

test('a slice reaches from the position to the last record', () => {
  assert.equal(shape(firstSlice(fetchedAt(4, [5, 6, 9]))), { start: 4, end: 10, records: 3, truncate: false })
  assert.is(firstSlice(fetched()), undefined)
})

test('a truncate ends the slice before it and stands alone in its own', () => {
  assert.equal(shape(firstSlice(fetched(5, 6, -7, 8))), { start: 5, end: 7, records: 2, truncate: false })
  assert.equal(shape(firstSlice(fetched(-7, -8, 9))), { start: 7, end: 8, records: 1, truncate: true })
})

test('the slices of a topic come by partition, in whatever order they were fetched', () => {
  const slices = [2, 0, 1].map(partition => firstSlice({ ...fetched(5), partition })!)
  const other = firstSlice({ ...fetched(5), topic: 'other' })!
  for (const order of [
    [...slices, other],
    [other, ...slices.toReversed()],
  ])
    assert.equal(
      slicesOf('t', order).map(({ partition }) => partition),
      [0, 1, 2],
    )
})

test('a range is given back only when all of it is there, and without what follows', () => {
  assert.is(sliceOfRange(fetched(5, 6), 8), undefined)
  assert.equal(shape(sliceOfRange(fetched(5, 6, 7, 8), 8)), { start: 5, end: 8, records: 3, truncate: false })
  assert.equal(shape(sliceOfRange(fetched(-7, 8), 8)), { start: 7, end: 8, records: 1, truncate: true })
})

/** Records from offset 10 on, at the given LSNs. */
function fetchedLsns(...lsns: number[]) {
  const plain = fetchedAt(
    10,
    Array.from(lsns, (_, index) => 10 + index),
  )
  const values = lsns.map(lsn => Buffer.from([0, 0, 0, 0, 1, lsn * 2, 0]))
  const starts = values.map((_, index) => index * 7)
  const records: RecordSet = {
    ...plain.records,
    buffer: Buffer.concat(values),
    valueStarts: Int32Array.from(starts),
    valueEnds: Int32Array.from(starts, start => start + 7),
  }
  return { ...plain, records }
}

const at = (lsn: number) => ({ lsn, ordinal: 0 })

test('records that repeat what stands before them are left out, and end a slice', () => {
  const runs = (slice: Slice | undefined) => slice && [slice.start, slice.from, slice.to, slice.end, slice.reached?.lsn]
  assert.equal(runs(firstSlice(fetchedLsns(5, 6, 7), at(4))), [10, 0, 3, 13, 7])
  assert.equal(runs(firstSlice(fetchedLsns(5, 6, 7), at(6))), [10, 2, 3, 13, 7])
  assert.equal(runs(firstSlice(fetchedLsns(5, 6, 5, 6, 7), at(4))), [10, 0, 2, 12, 6])
  assert.is(firstSlice(fetchedLsns(5, 6), at(6)), undefined)
  assert.equal(runs(sliceOfRange(fetchedLsns(5, 6, 7, 8), 13, at(5))), [10, 1, 3, 13, 7])
})

test('halves hold every record once, down to single records', () => {
  const slices = [firstSlice(fetched(1, 2, 3))!, firstSlice(fetched(10, 11, 12, 13))!]
  const singles = (list: readonly Slice[]): number[] => {
    if (countRecords(list) === 1) return [list[0]!.records.offsets[list[0]!.from]!]
    return halve(list).flatMap(singles)
  }
  assert.equal(singles(slices), [1, 2, 3, 10, 11, 12, 13])
})

test('what is present is left out, in runs', () => {
  const slice = firstSlice(fetched(1, 2, 3, 4, 5, 6))!
  const runs = withoutOffsets(slice, new Set([1, 4])).map(({ from, to }) => [from, to])
  assert.equal(runs, [
    [1, 3],
    [4, 6],
  ])
  assert.equal(withoutOffsets(slice, new Set([1, 2, 3, 4, 5, 6])), [])
})

test('an intent survives being written and read; foreign metadata is refused by name', () => {
  const batch = batchName([{ topic: 't', partition: 0, start: 3, end: 9 }])
  const intent = { end: 9, batch, server }
  const reached = { lsn: 2 ** 53 - 1, ordinal: 7 }
  assert.equal(readMetadata(writeMetadata(reached, intent), 'here'), { reached, intent })
  assert.equal(readMetadata(writeMetadata(reached), 'here'), { reached, intent: undefined })
  assert.equal(readMetadata(writeMetadata(undefined, intent), 'here'), { reached: undefined, intent })
  assert.equal(readMetadata('', 'here'), { reached: undefined, intent: undefined })
  assert.throws(() => readMetadata('somebody else', 'here'), /metadata that this version cannot read/)
})

test('the name of a batch does not depend on the order of its ranges, and on nothing else', () => {
  const a = { topic: 't', partition: 0, start: 3, end: 9 }
  const b = { topic: 'u', partition: 1, start: 0, end: 1 }
  assert.is(batchName([a, b]), batchName([b, a]))
  assert.is.not(batchName([a, b]), batchName([a, { ...b, end: 2 }]))
})

test('open batches gather the partitions that still carry their name', () => {
  const open = openBatches([
    { topic: 't', partition: 0, offset: 3, reached: undefined, intent: { end: 9, batch: 'x', server } },
    { topic: 't', partition: 1, offset: 5, reached: undefined, intent: undefined },
    { topic: 'u', partition: 0, offset: 1, reached: undefined, intent: { end: 2, batch: 'x', server } },
    { topic: 'u', partition: 1, offset: 7, reached: undefined, intent: { end: 8, batch: 'y', server } },
  ])
  assert.equal(
    [...open].map(([batch, ranges]) => [batch, ranges.map(({ topic, partition }) => `${topic}${partition}`)]),
    [
      ['x', ['t0', 'u0']],
      ['y', ['u1']],
    ],
  )
})

test.run()
