// kafka/producer/batch-builder: appends records to a record batch (format 2), without an object per
// record.

import { gzipSync } from 'node:zlib'
import { copyBytes, longestVarint, varintBytes, withRoom, writeVarint } from '../../contract/bytes.ts'
import { crc32c } from '../protocol/crc32c.ts'
import { batchLayout, gzipAttribute } from '../protocol/record-batch.ts'
import { writeInt64 } from '../protocol/wire.ts'

export type Compression = 'none' | 'gzip'

export interface BatchIdentity {
  readonly producerId: number
  readonly epoch: number
  /** Sequence number of the first record. The others follow; 0 comes after 2^31 − 1. */
  readonly sequence: number
  readonly compression: Compression
}

/** Length, attributes, timestamp and offset deltas, two more lengths and the header count. */
const recordOverhead = longestVarint + 1 + longestVarint + 5 + 5 + 5 + 1
/** An upper bound of the bytes that a record adds to a batch. */
export function recordBytesAtMost(keyAndValueBytes: number): number {
  return recordOverhead + keyAndValueBytes
}

/** Level 6, the default, takes five times as long and saves a tenth of the bytes. */
const gzipLevel = 1

/** Reuses one growing buffer for every batch. */
export class BatchBuilder {
  #buffer: Buffer
  #end: number = batchLayout.records
  #count = 0
  #baseTimestamp = 0
  #maxTimestamp = 0
  readonly #keptBytes: number

  /** @param keptBytes a buffer that a batch made larger than this is released */
  constructor(keptBytes = 1024 * 1024) {
    this.#keptBytes = keptBytes
    this.#buffer = Buffer.allocUnsafe(16 * 1024)
  }

  get count(): number {
    return this.#count
  }

  /** Size of the batch before compression. */
  get bytes(): number {
    return this.#end
  }

  /**
   * Copies `source[keyStart, keyEnd)` and `source[valueStart, valueEnd)`; a start of −1 is null.
   */
  append(
    source: Buffer,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
    timestampMs: number,
  ): void {
    const keyBytes = keyStart < 0 ? -1 : keyEnd - keyStart
    const valueBytes = valueStart < 0 ? -1 : valueEnd - valueStart
    if (this.#count === 0) {
      this.#baseTimestamp = timestampMs
      this.#maxTimestamp = timestampMs
    } else if (timestampMs > this.#maxTimestamp) this.#maxTimestamp = timestampMs
    const room = recordOverhead + Math.max(keyBytes, 0) + Math.max(valueBytes, 0)
    const target = withRoom(this.#buffer, this.#end, room)
    this.#buffer = target
    const timestampDelta = timestampMs - this.#baseTimestamp
    const body = bodyBytes(timestampDelta, this.#count, keyBytes, valueBytes)
    let at = writeVarint(target, body, this.#end)
    target[at++] = 0
    at = writeVarint(target, timestampDelta, at)
    at = writeVarint(target, this.#count, at)
    at = writeVarint(target, keyBytes, at)
    if (keyBytes > 0) at = copyBytes(source, keyStart, keyEnd, target, at)
    at = writeVarint(target, valueBytes, at)
    if (valueBytes > 0) at = copyBytes(source, valueStart, valueEnd, target, at)
    target[at++] = 0
    this.#end = at
    this.#count += 1
  }

  /**
   * Returns the batch in its own buffer, and starts the next one.
   * @throws {RangeError} without a record
   */
  finish({ producerId, epoch, sequence, compression }: BatchIdentity): Buffer {
    if (this.#count === 0) throw new RangeError('a batch must hold a record')
    const batch = this.#assemble(compression)
    writeInt64(batch, 0, batchLayout.baseOffset)
    batch.writeInt32BE(batch.length - batchLayout.leaderEpoch, batchLayout.length)
    batch.writeInt32BE(-1, batchLayout.leaderEpoch)
    batch[batchLayout.magic] = 2
    batch.writeInt16BE(compression === 'gzip' ? gzipAttribute : 0, batchLayout.attributes)
    batch.writeInt32BE(this.#count - 1, batchLayout.lastOffsetDelta)
    writeInt64(batch, this.#baseTimestamp, batchLayout.baseTimestamp)
    writeInt64(batch, this.#maxTimestamp, batchLayout.maxTimestamp)
    writeInt64(batch, producerId, batchLayout.producerId)
    batch.writeInt16BE(epoch, batchLayout.producerEpoch)
    batch.writeInt32BE(sequence, batchLayout.baseSequence)
    batch.writeInt32BE(this.#count, batchLayout.count)
    batch.writeUInt32BE(crc32c(batch, batchLayout.attributes), batchLayout.crc)
    this.reset()
    return batch
  }

  reset(): void {
    this.#end = batchLayout.records
    this.#count = 0
    if (this.#buffer.length > this.#keptBytes) this.#buffer = Buffer.allocUnsafe(this.#keptBytes)
  }

  /** A buffer with room for the header, followed by the records. */
  #assemble(compression: Compression): Buffer {
    const header = Buffer.allocUnsafe(batchLayout.records)
    const records = this.#buffer.subarray(batchLayout.records, this.#end)
    return Buffer.concat([header, compression === 'gzip' ? gzipSync(records, { level: gzipLevel }) : records])
  }
}

function bodyBytes(timestampDelta: number, offsetDelta: number, keyBytes: number, valueBytes: number): number {
  const lengths = varintBytes(keyBytes) + Math.max(keyBytes, 0) + varintBytes(valueBytes) + Math.max(valueBytes, 0)
  return 1 + varintBytes(timestampDelta) + varintBytes(offsetDelta) + lengths + 1
}
