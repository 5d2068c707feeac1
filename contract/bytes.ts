// contract/bytes: variable-length integers, growing buffers, and the kinds of a column's value.
// The hot path: no allocation per value. Integers are whole numbers within ±2^53.

/** What a column of a text row holds, as ASCII codes of pgoutput's letters. */
export const columnKinds = {
  null: 0x6e,
  /** A TOASTed value that the update did not change and that Postgres did not send. */
  unchanged: 0x75,
  text: 0x74,
} as const

/** Most bytes of a varint of 64 bits. */
export const longestVarint = 10

/** Below this length, a loop is faster than a call into native code. */
const shortCopy = 64

/**
 * Writes a zig-zag varint: Avro's `int` and `long`, and the numbers inside Kafka's record batches.
 * @returns the position after it
 * @see https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */
export function writeVarint(target: Buffer, value: number, at: number): number {
  const low = value | 0
  if (low === value) return writeRest(target, (low << 1) ^ (low >> 31), at)
  return writeVarint64(target, Math.floor(value / 0x1_0000_0000), value, at)
}

/**
 * As `writeVarint`, for the two's complement integer with these halves, of which the low 32 bits
 * each count.
 */
export function writeVarint64(target: Buffer, high: number, low: number, at: number): number {
  const sign = high >> 31
  let restLow = (low << 1) ^ sign
  let restHigh = ((high << 1) | (low >>> 31)) ^ sign
  let end = at
  while (restHigh !== 0) {
    target[end++] = (restLow & 0x7f) | 0x80
    restLow = (restLow >>> 7) | (restHigh << 25)
    restHigh >>>= 7
  }
  return writeRest(target, restLow, end)
}

/** Writes 32 bits that are zig-zag encoded already. */
function writeRest(target: Buffer, zigzag: number, at: number): number {
  let rest = zigzag
  let end = at
  while ((rest & ~0x7f) !== 0) {
    target[end++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  target[end++] = rest
  return end
}

/** How many bytes `writeVarint` writes. */
export function varintBytes(value: number): number {
  const magnitude = value < 0 ? -value - 1 : value
  let bytes = 1
  for (let limit = 64; magnitude >= limit; limit *= 128) bytes += 1
  return bytes
}

/** Reads zig-zag varints one after the other. */
export class VarintReader {
  readonly buffer: Buffer
  at: number

  constructor(buffer: Buffer, at: number) {
    this.buffer = buffer
    this.at = at
  }

  /** @throws {RangeError} at the end of the buffer, or beyond ±2^53 */
  next(): number {
    const { buffer } = this
    const first = buffer[this.at++]!
    if (first < 0x80) return (first >>> 1) ^ -(first & 1)
    let low = first & 0x7f
    for (let shift = 7; shift <= 21; shift += 7) {
      const byte = buffer[this.at++]!
      low |= (byte & 0x7f) << shift
      if (byte < 0x80) return (low >>> 1) ^ -(low & 1)
    }
    return this.#long(low)
  }

  /** Reads the bytes after the first four, which gave 28 bits; the lowest bit is the sign. */
  #long(low: number): number {
    let magnitude = low >>> 1
    for (let factor = 0x800_0000; factor <= 2 ** 62; factor *= 128) {
      const byte = this.buffer[this.at++]
      if (byte === undefined) break
      magnitude += (byte & 0x7f) * factor
      if (byte >= 0x80) continue
      if (magnitude > Number.MAX_SAFE_INTEGER) break
      return (low & 1) === 0 ? magnitude : -magnitude - 1
    }
    throw new RangeError('a variable-length integer does not end, or exceeds 2^53')
  }
}

/** A text with its length before it, as Avro's `string`. */
export function lengthAndText(text: string): Buffer {
  const length = Buffer.byteLength(text)
  const target = Buffer.allocUnsafe(varintBytes(length) + length)
  target.write(text, writeVarint(target, length, 0))
  return target
}

/**
 * The buffer if it has room for `more` bytes after the first `used`, otherwise a larger one with a
 * copy of those. It at least doubles, so that appending takes linear time.
 */
export function withRoom(buffer: Buffer, used: number, more: number): Buffer {
  const needed = used + more
  if (needed <= buffer.length) return buffer
  const grown = Buffer.allocUnsafe(Math.max(needed, buffer.length * 2))
  buffer.copy(grown, 0, 0, used)
  return grown
}

/** Copies `source[start, end)`. @returns the position after it */
export function copyBytes(source: Buffer, start: number, end: number, target: Buffer, at: number): number {
  const after = at + end - start
  if (end - start > shortCopy) source.copy(target, at, start, end)
  else for (let from = start, to = at; from < end; from++, to++) target[to] = source[from]!
  return after
}
