// test/unit/batch.test: the records of a batch, and resuming a batch from its committed offsets.

import fc from 'fast-check'
import { cutBatches, mostPartitions } from '../../consumer/records/batch.ts'
import { batchName, openBatches, readMetadata, writeMetadata } from '../../consumer/records/insert-intent.ts'
import { firstSlice, type Slice, sliceOfRange } from '../../consumer/records/slice.ts'
import { comparePositions } from '../../contract/position.ts'
import { envelope, fetchedRecords, type Sample } from '../support/fixtures/fetched-records.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('batch')

const reading = { envelope, stopsAtForeign: false }
const server = '61f0c404-5cb3-11e7-907b-a6006ad3dba0'

const tables = new Map([
  ['orders', { group: 'sales' }],
  ['items', { group: 'sales' }],
  ['visits', { group: 'visits' }],
])

const [one] = [firstSlice(fetchedRecords([{ offset: 0, lsn: 1 }]), reading)!]
const sliceOf = (topic: string, partition: number): Slice => ({ ...one, topic, partition })
const placesOf = (slices: readonly Slice[]) => slices.map(({ topic, partition }) => `${topic} ${partition}`)

test('a batch has the records that one poll found for the tables of one group', () => {
  const batches = cutBatches([sliceOf('items', 0), sliceOf('visits', 3), sliceOf('orders', 1)], tables)
  assert.equal(
    batches.map(({ group, slices }) => [group, placesOf(slices)]),
    [
      ['sales', ['items 0', 'orders 1']],
      ['visits', ['visits 3']],
    ],
  )
  for (const { name, slices } of batches) assert.is(name, batchName(slices))
  assert.equal(cutBatches([], tables), [])
})

test('a batch fits into one commit, and partitions of one number stay together in it', () => {
  const partitions = fc.integer({ min: 1, max: 3_000 })
  fc.assert(
    fc.property(partitions, partitions, (orders, items) => {
      const slices = [
        ...Array.from({ length: orders }, (_, partition) => sliceOf('orders', partition)),
        ...Array.from({ length: items }, (_, partition) => sliceOf('items', partition)),
      ]
      const batches = cutBatches(slices, tables)
      const batchOf = new Map(
        batches.flatMap(batch => placesOf(batch.slices).map(place => [place, batch.name] as const)),
      )
      assert.is(batchOf.size, slices.length)
      assert.is(
        batches.reduce((sum, batch) => sum + batch.slices.length, 0),
        slices.length,
      )
      for (const batch of batches) assert.ok(batch.slices.length <= mostPartitions)
      for (let partition = 0; partition < Math.min(orders, items); partition++)
        assert.is(batchOf.get(`orders ${partition}`), batchOf.get(`items ${partition}`))
    }),
    { numRuns: 20 },
  )
})

/**
 * Records at growing offsets with gaps. Some repeat earlier ones, some are truncates, some are
 * foreign.
 */
const records = fc
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

const contentOf = ({ records, from, to, truncate, foreign, ...of }: Slice) => {
  const offsets = [...records.offsets.slice(from, to)]
  const foreignOffsets = [...foreign.keys()].map(index => records.offsets[index])
  return { ...of, records: undefined, offsets, foreignOffsets, truncate }
}

test('an open batch is read again, record by record, from its committed offsets', () => {
  const before = fc.option(fc.record({ lsn: fc.nat(6), ordinal: fc.constant(0) }), { nil: undefined })
  fc.assert(
    fc.property(records, records, before, (samples, later, reached) => {
      const announced = firstSlice(fetchedRecords(samples, 5), reading, reached)
      fc.pre(announced !== undefined)
      const { topic, partition, start, end } = announced
      const text = writeMetadata(
        { lastPosition: reached, lastOffset: -1, floor: 0, assignment: 1 },
        { end, batch: batchName([announced]), server },
      )

      const progress = { topic, partition, offset: start, ...readMetadata(text, 'here') }
      const [[name, open] = []] = openBatches([progress])
      assert.is(name, batchName([announced]))
      assert.equal([open!.isWhole, [...open!.servers]], [true, [server]])
      const [range] = open!.ranges

      // The topic has grown since, so the fetch returns more than the batch.
      const last = samples.at(-1)!.offset
      const grown = [...samples, ...later.map(sample => ({ ...sample, offset: sample.offset + last }))]
      const resumed = sliceOfRange(fetchedRecords(grown, range!.start), reading, {
        end: range!.end,
        before: range!.lastPosition,
      })
      assert.equal(contentOf(resumed!), contentOf(announced))
    }),
  )
})

test('batch after batch, every change is in exactly one, in the order of the partition', () => {
  fc.assert(
    fc.property(records, samples => {
      const taken: number[] = []
      let position = { offset: 5, reached: undefined as Slice['lastPosition'] }
      for (;;) {
        const left = samples.filter(({ offset }) => offset >= position.offset)
        const slice = firstSlice(fetchedRecords(left, position.offset), reading, position.reached)
        if (slice === undefined) break
        assert.ok(slice.end > position.offset)
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
