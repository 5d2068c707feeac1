// test/unit/kafka-batch: record batches written and read back, damaged, compressed, truncated and
// trimmed.

import fc from 'fast-check'
import { VarintReader, varintBytes, writeVarint } from '../../contract/bytes.ts'
import { BatchBuilder } from '../../kafka/producer/batch-builder.ts'
import { crc32c } from '../../kafka/protocol/crc32c.ts'
import { batchLayout, decodeBatches, type RecordSet } from '../../kafka/protocol/record-batch.ts'
import { writeInt64 } from '../../kafka/protocol/wire.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('kafka batch')
const place = { topic: 't', partition: 3, fromOffset: 0 }
const identity = { producerId: 7, epoch: 1, sequence: 0, compression: 'none' } as const

interface Sample {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestamp: number
}

function appendAll(builder: BatchBuilder, samples: readonly Sample[]): void {
  for (const { key, value, timestamp } of samples) {
    const source = Buffer.concat([Buffer.from('##'), key ?? Buffer.alloc(0), value ?? Buffer.alloc(0)])
    const keyEnd = 2 + (key?.length ?? 0)
    builder.append(source, key ? 2 : -1, keyEnd, value ? keyEnd : -1, source.length, timestamp)
  }
}

function texts(records: RecordSet): (string | null)[] {
  const text = (start: number, end: number) => (start < 0 ? null : records.buffer.toString('utf8', start, end))
  return Array.from({ length: records.count }, (_, i) => text(records.valueStarts[i]!, records.valueEnds[i]!))
}

function numbered(count: number, baseOffset: number, builder = new BatchBuilder()): Buffer {
  appendAll(
    builder,
    Array.from({ length: count }, (_, i) => ({ key: null, value: Buffer.from(`v${baseOffset + i}`), timestamp: 1 })),
  )
  const batch = builder.finish(identity)
  writeInt64(batch, baseOffset, batchLayout.baseOffset)
  return batch
}

/** Sets attribute bits as a broker or another client would, checksum included. */
function withAttributes(batch: Buffer, bits: number): Buffer {
  batch.writeInt16BE(batch.readInt16BE(batchLayout.attributes) | bits, batchLayout.attributes)
  batch.writeUInt32BE(crc32c(batch, batchLayout.attributes), batchLayout.crc)
  return batch
}

test('the checksum is CRC-32C', () => {
  assert.is(crc32c(Buffer.from('123456789')), 0xe3069283)
  assert.is(crc32c(Buffer.alloc(32)), 0x8a9136aa)
  assert.is(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43)
})

test('a varint of any size is read back, with the predicted number of bytes', () => {
  const edges = [0, 63, 64, 2 ** 30, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER].flatMap(n => [n, n - 1, -n, -n - 1])
  const safe = edges.filter(n => 2 * Math.abs(n) < Number.MAX_SAFE_INTEGER)
  const target = Buffer.alloc(10)
  for (const value of safe) {
    const end = writeVarint(target, value, 0)
    assert.is(end, varintBytes(value), `bytes of ${value}`)
    assert.is(new VarintReader(target, 0).next(), value + 0)
  }
})

test('records are read back as they were appended', () => {
  const bytes = fc.option(fc.uint8Array({ maxLength: 300 }).map(array => Buffer.from(array)))
  const timestamp = fc.integer({ min: 0, max: 4_000_000_000_000 })
  const samples = fc.array(fc.record({ key: bytes, value: bytes, timestamp }), { minLength: 1, maxLength: 40 })
  const builder = new BatchBuilder()
  fc.assert(
    fc.property(samples, fc.constantFrom('none' as const, 'gzip' as const), (given, compression) => {
      appendAll(builder, given)
      const records = decodeBatches(builder.finish({ ...identity, compression }), place)
      assert.is(records.count, given.length)
      assert.is(records.nextOffset, given.length)
      const slice = (start: number, end: number) => (start < 0 ? null : records.buffer.subarray(start, end))
      for (const [i, { key, value, timestamp }] of given.entries()) {
        assert.is(records.offsets[i], i)
        assert.is(records.timestamps[i], timestamp)
        assert.equal(slice(records.keyStarts[i]!, records.keyEnds[i]!), key)
        assert.equal(slice(records.valueStarts[i]!, records.valueEnds[i]!), value)
      }
    }),
  )
})

test('a batch has the fields that the broker checks for idempotence', () => {
  const builder = new BatchBuilder()
  appendAll(builder, [{ key: null, value: Buffer.from('x'), timestamp: 1_700_000_000_000 }])
  const batch = builder.finish({ producerId: 2 ** 40 + 5, epoch: 9, sequence: 2 ** 31 - 1, compression: 'none' })
  assert.is(Number(batch.readBigInt64BE(batchLayout.producerId)), 2 ** 40 + 5)
  assert.is(batch.readInt16BE(batchLayout.producerEpoch), 9)
  assert.is(batch.readInt32BE(batchLayout.baseSequence), 2 ** 31 - 1)
  assert.is(builder.count, 0)
  assert.throws(() => builder.finish(identity), /must hold a record/)
})

test('a truncated batch at the end is left for the next fetch', () => {
  const whole = numbered(3, 10)
  const next = numbered(2, 13)
  for (const cut of [1, 30, next.length - 1]) {
    const records = decodeBatches(Buffer.concat([whole, next.subarray(0, cut)]), {
      ...place,
      fromOffset: 10,
    })
    assert.equal([...records.offsets], [10, 11, 12])
    assert.is(records.nextOffset, 13)
  }
})

test('records before the requested offset are skipped', () => {
  const records = decodeBatches(Buffer.concat([numbered(3, 10), numbered(2, 13)]), { ...place, fromOffset: 12 })
  assert.equal(texts(records), ['v12', 'v13', 'v14'])
  assert.is(records.nextOffset, 15)
})

test('compressed and plain batches mix', () => {
  const builder = new BatchBuilder()
  appendAll(builder, [{ key: null, value: Buffer.from('packed'), timestamp: 1 }])
  const packed = builder.finish({ ...identity, compression: 'gzip' })
  writeInt64(packed, 2, batchLayout.baseOffset)
  const records = decodeBatches(Buffer.concat([numbered(2, 0), packed, numbered(1, 3)]), place)
  assert.equal(texts(records), ['v0', 'v1', 'packed', 'v3'])
})

test('control batches are skipped, and the offset moves past them', () => {
  const records = decodeBatches(Buffer.concat([numbered(1, 0), withAttributes(numbered(1, 1), 0b11_0000)]), place)
  assert.equal(texts(records), ['v0'])
  assert.is(records.nextOffset, 2)
})

test('damage anywhere in a batch is detected', async () => {
  const whole = numbered(3, 0)
  for (const at of [batchLayout.attributes, batchLayout.count, batchLayout.records, whole.length - 1]) {
    const damaged = Buffer.from(whole)
    damaged[at]! ^= 0x10
    await assert.refuses(() => decodeBatches(damaged, place), 'BATCH_UNREADABLE', /checksum/)
  }
})

test('a compression we cannot read names the setting to change', async () => {
  for (const [bits, name] of [
    [2, 'snappy'],
    [3, 'lz4'],
    [4, 'zstd'],
  ] as const) {
    const error = await assert.refuses(
      () => decodeBatches(withAttributes(numbered(1, 0), bits), place),
      'BATCH_UNREADABLE',
      new RegExp(name),
    )
    assert.match(error.next, /topic t, and set its compression\.type to producer.*--new-generation/)
  }
})

test.run()
