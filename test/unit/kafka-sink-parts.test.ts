// test/unit/kafka-sink-parts: durability of marks, and the order, size and sequence numbers of batches.

import fc from 'fast-check'
import { Marks } from '../../kafka/producer/checkpoints.ts'
import { BuilderPool, nextSequence, Outbox, type PendingBytes } from '../../kafka/producer/partition-queue.ts'
import { batchLayout, decodeBatches } from '../../kafka/protocol/record-batch.ts'
import { assert, suite } from '../support/suite.ts'

const test = suite('kafka sink parts')

function openOutbox(maxBatchBytes = 1000): { outbox: Outbox; pending: PendingBytes } {
  const pending = { bytes: 0 }
  const builders = new BuilderPool(maxBatchBytes)
  const identity = { producerId: 1, epoch: 0, compression: 'none' as const }
  const place = { topic: 't', partition: 0, isShared: false, endOffset: 100 }
  return { outbox: new Outbox({ ...identity, ...place, maxBatchBytes, builders, pending }), pending }
}

function appendBytes(outbox: Outbox, number: number, bytes: number): void {
  outbox.append(number, Buffer.alloc(bytes), -1, -1, 0, bytes)
}

test('sequence numbers go on from 2^31 − 1 to 0', () => {
  assert.is(nextSequence(0, 5), 5)
  assert.is(nextSequence(2 ** 31 - 2, 1), 2 ** 31 - 1)
  assert.is(nextSequence(2 ** 31 - 1, 1), 0)
  assert.is(nextSequence(2 ** 31 - 8, 10), 2)
})

test('a mark is durable once nothing below it is pending', () => {
  const marks = new Marks()
  marks.push(10, 0)
  assert.ok(marks.advance(0))
  assert.is(marks.durable, 10)
  marks.push(20, 5)
  marks.push(30, 5)
  marks.push(40, 9)
  assert.is(marks.advance(4), false)
  assert.ok(marks.advance(8))
  assert.is(marks.durable, 30)
  assert.ok(marks.advance(9))
  assert.is(marks.durable, 40)
})

test('marks agree with looking at all of them, whatever the order of acknowledgements', () => {
  const steps = fc.array(fc.record({ records: fc.nat(3), acknowledged: fc.nat(5) }), { maxLength: 60 })
  fc.assert(
    fc.property(steps, given => {
      const marks = new Marks()
      const all: { lsn: number; appended: number }[] = []
      let appended = 0
      let pending = 0
      for (const [i, { records, acknowledged }] of given.entries()) {
        appended += records
        marks.push(i + 1, appended)
        all.push({ lsn: i + 1, appended })
        pending = Math.min(appended, pending + acknowledged)
        marks.advance(pending)
        assert.is(marks.durable, all.findLast(mark => mark.appended <= pending)?.lsn ?? 0)
      }
    }),
  )
})

test('the oldest batch stays the same, byte for byte, until it is acknowledged', () => {
  const { outbox, pending } = openOutbox()
  appendBytes(outbox, 0, 10)
  const first = outbox.oldest()!
  appendBytes(outbox, 1, 10)
  assert.is(outbox.oldest(), first)
  assert.is(outbox.firstPending, 0)
  outbox.acknowledge(100)
  assert.is(outbox.endOffset, 101)
  const second = outbox.oldest()!
  assert.equal([second.first, second.count, second.bytes.readInt32BE(batchLayout.baseSequence)], [1, 1, 1])
  assert.is(pending.bytes, second.bytes.length)
  outbox.acknowledge(101)
  assert.equal([outbox.firstPending, pending.bytes, outbox.oldest()], [Number.POSITIVE_INFINITY, 0, undefined])
})

test('no batch of several records exceeds its limit, and nothing is lost between batches', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1500), { minLength: 1, maxLength: 50 }), sizes => {
      const { outbox, pending } = openOutbox()
      for (const [number, bytes] of sizes.entries()) appendBytes(outbox, number, bytes)
      const seen: number[] = []
      let sequence = 0
      for (let batch = outbox.oldest(); batch; batch = outbox.oldest()) {
        assert.ok(batch.count === 1 || batch.bytes.length <= 1000)
        assert.is(batch.first, seen.length)
        assert.is(batch.bytes.readInt32BE(batchLayout.baseSequence), sequence)
        sequence = nextSequence(sequence, batch.count)
        const records = decodeBatches(batch.bytes, { topic: 't', partition: 0, fromOffset: 0 })
        for (let i = 0; i < records.count; i += 1) seen.push(records.valueEnds[i]! - records.valueStarts[i]!)
        outbox.acknowledge(outbox.endOffset)
      }
      assert.equal(seen, sizes)
      assert.is(pending.bytes, 0)
      assert.is(outbox.endOffset, 100 + sizes.length)
    }),
  )
})

test.run()
