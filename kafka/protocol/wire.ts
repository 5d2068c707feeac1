// kafka/protocol/wire: the primitive types of Kafka's protocol, written to and read from buffers.

import { withRoom } from '../../contract/bytes.ts'

/** Grows as it is written. @see https://kafka.apache.org/protocol.html#protocol_types */
export class WireWriter {
  #buffer: Buffer
  #length = 0

  constructor(capacity = 256) {
    this.#buffer = Buffer.allocUnsafe(capacity)
  }

  int8(value: number): this {
    const at = this.#reserve(1)
    this.#buffer.writeInt8(value, at)
    return this
  }

  int16(value: number): this {
    const at = this.#reserve(2)
    this.#buffer.writeInt16BE(value, at)
    return this
  }

  int32(value: number): this {
    const at = this.#reserve(4)
    this.#buffer.writeInt32BE(value, at)
    return this
  }

  /** Exact for whole numbers within ±2^53. */
  int64(value: number): this {
    const at = this.#reserve(8)
    writeInt64(this.#buffer, value, at)
    return this
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const length = Buffer.byteLength(value)
    this.int16(length)
    const at = this.#reserve(length)
    this.#buffer.write(value, at)
    return this
  }

  bytes(value: Buffer): this {
    this.int32(value.length)
    const at = this.#reserve(value.length)
    value.copy(this.#buffer, at)
    return this
  }

  array<T>(values: readonly T[], write: (value: T) => void): this {
    this.int32(values.length)
    for (const value of values) write(value)
    return this
  }

  get length(): number {
    return this.#length
  }

  /** The bytes written so far, without a copy. The writer must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #reserve(bytes: number): number {
    const at = this.#length
    this.#buffer = withRoom(this.#buffer, at, bytes)
    this.#length += bytes
    return at
  }
}

/** Reads in order from the start. A read past the end throws a RangeError. */
export class WireReader {
  readonly buffer: Buffer
  offset: number

  constructor(buffer: Buffer, offset = 0) {
    this.buffer = buffer
    this.offset = offset
  }

  int8(): number {
    return this.buffer.readInt8(this.#advance(1))
  }

  int16(): number {
    return this.buffer.readInt16BE(this.#advance(2))
  }

  int32(): number {
    return this.buffer.readInt32BE(this.#advance(4))
  }

  int64(): number {
    return readInt64(this.buffer, this.#advance(8))
  }

  string(): string | null {
    const length = this.int16()
    if (length < 0) return null
    const at = this.#advance(length)
    return this.buffer.toString('utf8', at, at + length)
  }

  /** A view, not a copy. */
  bytes(): Buffer | null {
    const length = this.int32()
    if (length < 0) return null
    const at = this.#advance(length)
    return this.buffer.subarray(at, at + length)
  }

  /** A null array is read as an empty one. */
  array<T>(read: () => T): T[] {
    const count = this.int32()
    const values: T[] = []
    for (let i = 0; i < count; i += 1) values.push(read())
    return values
  }

  #advance(bytes: number): number {
    const at = this.offset
    this.offset += bytes
    if (this.offset > this.buffer.length) throw new RangeError('the response ends in the middle of a field')
    return at
  }
}

export function writeInt64(target: Buffer, value: number, at: number): void {
  target.writeInt32BE(Math.floor(value / 0x1_0000_0000), at)
  target.writeUInt32BE(value >>> 0, at + 4)
}

/** Exact within ±2^53, which no offset, time or producer id exceeds in practice. */
export function readInt64(source: Buffer, at: number): number {
  return source.readInt32BE(at) * 0x1_0000_0000 + source.readUInt32BE(at + 4)
}
