// contract/avro-writer: one growing buffer that Avro's primitives are written into.
// Every write needs room that was reserved before; a write past the end would be lost without a word.

const leastBytes = 64 * 1024

/** Longest varint of a 64-bit integer. */
export const longestVarint = 10

/**
 * Writes Avro's binary encoding. `position` may be set back to undo what was written after it.
 * @see https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */
export class AvroWriter {
  buffer = Buffer.allocUnsafeSlow(leastBytes)
  position = 0

  /** Makes room for so many bytes after `position`. `buffer` may be another one afterwards. */
  reserve(bytes: number): void {
    const needed = this.position + bytes
    if (needed <= this.buffer.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2))
    this.buffer.copy(grown, 0, 0, this.position)
    this.buffer = grown
  }

  byte(value: number): void {
    this.buffer[this.position++] = value
  }

  /** `int` or `long` of a whole number within ±2^53. */
  long(value: number): void {
    const low = value | 0
    if (low === value) this.varint((low << 1) ^ (low >> 31))
    else this.long64(Math.floor(value / 0x1_0000_0000), value)
  }

  /** `long` of the 64-bit two's complement integer with these halves; only their low 32 bits count. */
  long64(high: number, low: number): void {
    const sign = high >> 31
    let restLow = (low << 1) ^ sign
    let restHigh = ((high << 1) | (low >>> 31)) ^ sign
    while (restHigh !== 0) {
      this.buffer[this.position++] = (restLow & 0x7f) | 0x80
      restLow = (restLow >>> 7) | (restHigh << 25)
      restHigh >>>= 7
    }
    this.varint(restLow)
  }

  /** `bytes` or `string` of a part of another buffer. */
  bytes(source: Buffer, start: number, end: number): void {
    this.long(end - start)
    this.raw(source, start, end)
  }

  /** The bytes alone, without their length. */
  raw(source: Buffer, start: number, end: number): void {
    const { buffer } = this
    let at = this.position
    this.position = at + end - start
    // A call into the runtime costs more than copying a short value here.
    if (end - start > 48) source.copy(buffer, at, start, end)
    else for (let from = start; from < end; from++) buffer[at++] = source[from]!
  }

  private varint(zigzag: number): void {
    const { buffer } = this
    let at = this.position
    let rest = zigzag
    while ((rest & ~0x7f) !== 0) {
      buffer[at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    buffer[at++] = rest
    this.position = at
  }
}
