// contract/avro-writer: one growing buffer that Avro's primitives are written into.
// The caller reserves room before it writes. A write past the end is lost without an error.

import { copyBytes, withRoom, writeVarint, writeVarint64 } from './bytes.ts'

const leastBytes = 64 * 1024

/**
 * Writes Avro's binary encoding. Setting `position` back undoes the writes after it.
 * @see https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */
export class AvroWriter {
  buffer: Buffer = Buffer.allocUnsafeSlow(leastBytes)
  position = 0

  /** Makes room for so many bytes after `position`. This may replace `buffer`. */
  reserve(bytes: number): void {
    this.buffer = withRoom(this.buffer, this.position, bytes)
  }

  byte(value: number): void {
    this.buffer[this.position++] = value
  }

  /** `int` or `long` of a whole number within ±2^53. */
  long(value: number): void {
    this.position = writeVarint(this.buffer, value, this.position)
  }

  /**
   * `long` of the 64-bit two's complement integer with these halves; only their low 32 bits count.
   */
  long64(high: number, low: number): void {
    this.position = writeVarint64(this.buffer, high, low, this.position)
  }

  /** `bytes` or `string` of a part of another buffer. */
  bytes(source: Buffer, start: number, end: number): void {
    this.long(end - start)
    this.raw(source, start, end)
  }

  /** The bytes without their length. */
  raw(source: Buffer, start: number, end: number): void {
    this.position = copyBytes(source, start, end, this.buffer, this.position)
  }
}
