// test/unit/kafka-producer-parts: durability of checkpoints, and the order, size and sequence
// numbers of batches.

import fc from 'fast-check'
import { Checkpoints } from '../../kafka/producer/checkpoints.ts'
import { BuilderPool, nextSequence, PartitionQueue, type PendingBytes } from '../../kafka/producer/partition-queue.ts'
import { batchLayout, decodeBatches } from '../../kafka/protocol/record-batch.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('kafka producer parts')

function openQueue(maxBatchBytes = 1000): { queue: PartitionQueue; pending: PendingBytes } {
  const pending = { bytes: 0 }
  const builders = new BuilderPool(maxBatchBytes)
  const identity = { producerId: 1, epoch: 0, compression: 'none' as const }
  const place = { topic: 't', partition: 0, isShared: false, endOffset: 100 }
  return { queue: new PartitionQueue({ ...identity, ...place, maxBatchBytes, builders, pending }), pending }
}

function appendBytes(queue: PartitionQueue, number: number, bytes: number): void {
  queue.append(number, Buffer.alloc(bytes), -1, -1, 0, bytes)
}

test('sequence numbers continue from 2^31 − 1 to 0', () => {
  assert.is(nextSequence(0, 5), 5)
  assert.is(nextSequence(2 ** 31 - 2, 1), 2 ** 31 - 1)
  assert.is(nextSequence(2 ** 31 - 1, 1), 0)
  assert.is(nextSequence(2 ** 31 - 8, 10), 2)
})

test('a checkpoint is durable once no record before it is pending', () => {
  const checkpoints = new Checkpoints()
  checkpoints.push(10, 0)
  assert.ok(checkpoints.advance(0))
  assert.is(checkpoints.durable, 10)
  checkpoints.push(20, 5)
  checkpoints.push(30, 5)
  checkpoints.push(40, 9)
  assert.is(checkpoints.advance(4), false)
  assert.ok(checkpoints.advance(8))
  assert.is(checkpoints.durable, 30)
  assert.ok(checkpoints.advance(9))
  assert.is(checkpoints.durable, 40)
})

test('checkpoints agree with a naive implementation, in any order of acknowledgements', () => {
  const steps = fc.array(fc.record({ records: fc.nat(3), acknowledged: fc.nat(5) }), { maxLength: 60 })
  fc.assert(
    fc.property(steps, given => {
      const checkpoints = new Checkpoints()
      const all: { lsn: number; appended: number }[] = []
      let appended = 0
      let pending = 0
      for (const [i, { records, acknowledged }] of given.entries()) {
        appended += records
        checkpoints.push(i + 1, appended)
        all.push({ lsn: i + 1, appended })
        pending = Math.min(appended, pending + acknowledged)
        checkpoints.advance(pending)
        assert.is(checkpoints.durable, all.findLast(mark => mark.appended <= pending)?.lsn ?? 0)
      }
    }),
  )
})

test('the oldest batch stays the same, byte for byte, until it is acknowledged', () => {
  const { queue, pending } = openQueue()
  appendBytes(queue, 0, 10)
  const first = queue.oldest()!
  appendBytes(queue, 1, 10)
  assert.is(queue.oldest(), first)
  assert.is(queue.firstPending, 0)
  queue.acknowledge(100)
  assert.is(queue.endOffset, 101)
  const second = queue.oldest()!
  assert.equal([second.first, second.count, second.bytes.readInt32BE(batchLayout.baseSequence)], [1, 1, 1])
  assert.is(pending.bytes, second.bytes.length)
  queue.acknowledge(101)
  assert.equal([queue.firstPending, pending.bytes, queue.oldest()], [Number.POSITIVE_INFINITY, 0, undefined])
})

test('no batch of several records exceeds its limit, and nothing is lost between batches', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1500), { minLength: 1, maxLength: 50 }), sizes => {
      const { queue, pending } = openQueue()
      for (const [number, bytes] of sizes.entries()) appendBytes(queue, number, bytes)
      const seen: number[] = []
      let sequence = 0
      for (let batch = queue.oldest(); batch; batch = queue.oldest()) {
        assert.ok(batch.count === 1 || batch.bytes.length <= 1000)
        assert.is(batch.first, seen.length)
        assert.is(batch.bytes.readInt32BE(batchLayout.baseSequence), sequence)
        sequence = nextSequence(sequence, batch.count)
        const records = decodeBatches(batch.bytes, { topic: 't', partition: 0, fromOffset: 0 })
        for (let i = 0; i < records.count; i += 1) seen.push(records.valueEnds[i]! - records.valueStarts[i]!)
        queue.acknowledge(queue.endOffset)
      }
      assert.equal(seen, sizes)
      assert.is(pending.bytes, 0)
      assert.is(queue.endOffset, 100 + sizes.length)
    }),
  )
})

test.run()
