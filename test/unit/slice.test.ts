// test/unit/slice.test: how the fetched records of a partition are cut into slices.

import fc from 'fast-check'
import {
  countRecords,
  emptySlice,
  firstSlice,
  halve,
  ownRuns,
  type Slice,
  slicesBelow,
  withoutOffsets,
} from '../../consumer/records/slice.ts'
import { comparePositions, type Position } from '../../contract/position.ts'
import { envelope, fetchedRecords, type Sample } from '../support/fixtures/fetched-records.ts'
import { assert, suite } from '../support/harness/suite.ts'

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

test('offsets without records to insert are a slice without records, which keeps the position', () => {
  const empty = emptySlice(fetchedAt(4, [5, 6]), { end: 7, before: at(3) })
  assert.equal(shape(empty), { start: 4, end: 7, records: 0, truncate: false })
  assert.equal(empty.lastPosition, at(3))
  assert.equal(ownRuns(empty), [])
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

/**
 * Records at growing offsets with gaps. Some repeat earlier ones, some are TRUNCATEs, some are
 * foreign.
 */
const someRecords = fc
  .array(
    fc.record({
      gap: fc.nat(2),
      lsn: fc.integer({ min: 1, max: 12 }),
      kind: fc.constantFrom(undefined, undefined, undefined, 'truncate' as const, 'foreign' as const),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map(given => {
    let offset = 5
    return given.map(({ gap, lsn, kind }): Sample => {
      offset += 1 + gap
      return { offset, lsn, ...(kind && { kind }) }
    })
  })

test('slice after slice, every change is in exactly one, in the order of the partition', () => {
  fc.assert(
    fc.property(someRecords, fc.boolean(), (samples, stopsAtForeign) => {
      const taken: number[] = []
      let position = { offset: 5, reached: undefined as Slice['lastPosition'] }
      for (;;) {
        const left = samples.filter(({ offset }) => offset >= position.offset)
        const slice = firstSlice(fetchedRecords(left, position.offset), { envelope, stopsAtForeign }, position.reached)
        if (slice === undefined) break
        assert.ok(slice.end > position.offset)
        assert.ok(!slice.truncate || countRecords([slice]) === 1)
        for (let index = slice.from; index < slice.to; index++) {
          if (!slice.foreign.has(index)) taken.push(slice.records.offsets[index]!)
        }
        position = { offset: slice.end, reached: slice.lastPosition }
      }
      // A record is a change unless it is foreign, or its position is not above all changes before
      // it.
      let newest = { lsn: -1, ordinal: -1 }
      const changes = samples.filter(({ lsn, kind }) => {
        const isChange = kind !== 'foreign' && comparePositions({ lsn, ordinal: 0 }, newest) > 0
        if (isChange) newest = { lsn, ordinal: 0 }
        return isChange
      })
      assert.equal(
        taken,
        changes.map(({ offset }) => offset),
      )
    }),
  )
})

test.run()
