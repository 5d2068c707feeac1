// kafka/protocol/record-batch: fetched record batches (format 2) as columns of positions in their
// buffer.

import { gunzipSync } from 'node:zlib'
import { VarintReader } from '../../contract/bytes.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { crc32c } from './crc32c.ts'
import { readInt64 } from './wire.ts'

/** Positions of the header's fields. @see https://kafka.apache.org/documentation/#recordbatch */
export const batchLayout = {
  baseOffset: 0,
  length: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  count: 57,
  records: 61,
} as const

export const gzipAttribute = 1

const compressionBits = 0b111
const logAppendTimeBit = 0b1000
const controlBit = 0b10_0000
const compressionNames = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/**
 * Record i has `offsets[i]`, and its key and value are `buffer[starts[i], ends[i])`; a start of −1
 * is null.
 */
export interface RecordSet {
  readonly count: number
  readonly buffer: Buffer
  readonly offsets: Float64Array
  /** ms since the Unix epoch. */
  readonly timestamps: Float64Array
  readonly keyStarts: Int32Array
  readonly keyEnds: Int32Array
  readonly valueStarts: Int32Array
  readonly valueEnds: Int32Array
  /**
   * The offset to fetch next: after the last whole batch, including control batches and compacted
   * gaps.
   */
  readonly nextOffset: number
}

export interface DecodeOptions {
  readonly topic: string
  readonly partition: number
  /** Records below it are left out: a fetched batch may begin earlier. */
  readonly fromOffset: number
}

/** Records of one batch: `bytes[start, end)`, decompressed. */
interface Section {
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
  readonly header: Buffer
}

/**
 * Decodes every whole batch. The next fetch returns a batch that is incomplete at the end.
 * @throws {MillraceError} BATCH_UNREADABLE: wrong checksum, an older format, or a compression other
 *   than gzip
 */
export function decodeBatches(source: Buffer, options: DecodeOptions): RecordSet {
  const { sections, nextOffset } = splitBatches(source, options)
  const buffer = sections.every(({ bytes }) => bytes === source) ? source : Buffer.concat(sections.map(sectionBytes))
  let records = 0
  for (const { header } of sections) records += header.readInt32BE(batchLayout.count)
  const columns = new Columns(buffer, records, options.fromOffset)
  let moved = 0
  for (const section of sections) {
    const start = buffer === source ? section.start : moved
    moved += section.end - section.start
    try {
      columns.read(section.header, start, start + section.end - section.start)
    } catch (error) {
      throw unreadable(options, section.header, 'its records do not add up', error)
    }
  }
  return { ...columns.finish(), nextOffset }
}

function splitBatches(source: Buffer, options: DecodeOptions): { sections: Section[]; nextOffset: number } {
  const sections: Section[] = []
  let nextOffset = options.fromOffset
  for (let at = 0; at + batchLayout.records <= source.length; ) {
    const end = at + batchLayout.leaderEpoch + source.readInt32BE(at + batchLayout.length)
    if (end > source.length) break
    const header = source.subarray(at, at + batchLayout.records)
    verify(source, at, end, options)
    const attributes = header.readInt16BE(batchLayout.attributes)
    const baseOffset = readInt64(header, batchLayout.baseOffset)
    const lastOffset = baseOffset + header.readInt32BE(batchLayout.lastOffsetDelta)
    const isControl = (attributes & controlBit) !== 0
    if (!isControl && lastOffset >= options.fromOffset) sections.push(openSection(source, at, end, options))
    nextOffset = Math.max(nextOffset, lastOffset + 1)
    at = end
  }
  return { sections, nextOffset }
}

function verify(source: Buffer, at: number, end: number, options: DecodeOptions): void {
  const header = source.subarray(at, at + batchLayout.records)
  const magic = header[batchLayout.magic]
  if (magic !== 2) throw unreadable(options, header, `it has format ${magic}, from before Kafka 0.11`)
  if (crc32c(source, at + batchLayout.attributes, end) !== header.readUInt32BE(batchLayout.crc))
    throw unreadable(options, header, 'its checksum does not match')
}

function openSection(source: Buffer, at: number, end: number, options: DecodeOptions): Section {
  const header = source.subarray(at, at + batchLayout.records)
  const compression = header.readInt16BE(batchLayout.attributes) & compressionBits
  if (compression === 0) return { bytes: source, start: at + batchLayout.records, end, header }
  if (compression !== gzipAttribute) {
    const name = compressionNames[compression] ?? `compression ${compression}`
    throw new MillraceError('BATCH_UNREADABLE', {
      what: `the records are compressed with ${name}; only gzip and none can be read`,
      where: placeOf(options, header),
      next: `make sure that only millrace writes to topic ${options.topic}, and set its compression.type to producer; the stored records do not change, so then load everything again into new topics: millrace producer --new-generation`,
    })
  }
  try {
    const bytes = gunzipSync(source.subarray(at + batchLayout.records, end))
    return { bytes, start: 0, end: bytes.length, header }
  } catch (error) {
    throw unreadable(options, header, 'its gzip data is damaged', error)
  }
}

function sectionBytes({ bytes, start, end }: Section): Buffer {
  return bytes.subarray(start, end)
}

class Columns {
  count = 0
  readonly offsets: Float64Array
  readonly timestamps: Float64Array
  readonly keyStarts: Int32Array
  readonly keyEnds: Int32Array
  readonly valueStarts: Int32Array
  readonly valueEnds: Int32Array
  readonly buffer: Buffer
  readonly #fromOffset: number

  constructor(buffer: Buffer, capacity: number, fromOffset: number) {
    this.buffer = buffer
    this.#fromOffset = fromOffset
    this.offsets = new Float64Array(capacity)
    this.timestamps = new Float64Array(capacity)
    this.keyStarts = new Int32Array(capacity)
    this.keyEnds = new Int32Array(capacity)
    this.valueStarts = new Int32Array(capacity)
    this.valueEnds = new Int32Array(capacity)
  }

  /** @throws {RangeError} when the records do not fill [start, end) exactly */
  read(header: Buffer, start: number, end: number): void {
    const baseOffset = readInt64(header, batchLayout.baseOffset)
    const baseTimestamp = readInt64(header, batchLayout.baseTimestamp)
    const isLogTime = (header.readInt16BE(batchLayout.attributes) & logAppendTimeBit) !== 0
    const logTime = readInt64(header, batchLayout.maxTimestamp)
    const reader = new VarintReader(this.buffer, start)
    let index = this.count
    for (let left = header.readInt32BE(batchLayout.count); left > 0; left -= 1) {
      const recordBytes = reader.next()
      const recordEnd = reader.at + recordBytes
      reader.at += 1
      const timestamp = baseTimestamp + reader.next()
      const offset = baseOffset + reader.next()
      const keyBytes = reader.next()
      const keyStart = reader.at
      if (keyBytes > 0) reader.at += keyBytes
      const valueBytes = reader.next()
      const valueStart = reader.at
      if (recordEnd > end || valueStart + valueBytes > recordEnd)
        throw new RangeError('a record is longer than its batch')
      reader.at = recordEnd
      if (offset < this.#fromOffset) continue
      this.offsets[index] = offset
      this.timestamps[index] = isLogTime ? logTime : timestamp
      this.keyStarts[index] = keyBytes < 0 ? -1 : keyStart
      this.keyEnds[index] = keyBytes < 0 ? -1 : keyStart + keyBytes
      this.valueStarts[index] = valueBytes < 0 ? -1 : valueStart
      this.valueEnds[index] = valueBytes < 0 ? -1 : valueStart + valueBytes
      index += 1
    }
    if (reader.at !== end) throw new RangeError('the batch is longer than its records')
    this.count = index
  }

  finish(): Omit<RecordSet, 'nextOffset'> {
    const { count, buffer, offsets, timestamps, keyStarts, keyEnds, valueStarts, valueEnds } = this
    return { count, buffer, offsets, timestamps, keyStarts, keyEnds, valueStarts, valueEnds }
  }
}

function unreadable(options: DecodeOptions, header: Buffer, why: string, cause?: unknown): MillraceError {
  return new MillraceError('BATCH_UNREADABLE', {
    what: `a batch cannot be read: ${why}`,
    where: placeOf(options, header),
    next: "check the broker's disks; restore the topic, or start a new generation: millrace producer --new-generation",
    ...(cause === undefined ? {} : { cause }),
  })
}

function placeOf({ topic, partition }: DecodeOptions, header: Buffer): string {
  return `topic ${topic}, partition ${partition}, offset ${readInt64(header, batchLayout.baseOffset)}`
}
