// kafka/protocol/varint: the zigzag variable-length integers inside record batches.
// Values are whole numbers within ±2^53; 32-bit ones take the fast path.

/** Most bytes that a written number takes. */
export const longestVarint = 10

/** Writes and gives the position after it. @see https://protobuf.dev/programming-guides/encoding/#signed-ints */
export function writeVarint(target: Buffer, value: number, at: number): number {
  if (value >= -0x4000_0000 && value < 0x4000_0000) {
    let rest = (value << 1) ^ (value >> 31)
    let end = at
    while (rest > 0x7f) {
      target[end++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    target[end++] = rest
    return end
  }
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n))
  let end = at
  while (rest > 0x7fn) {
    target[end++] = Number(rest & 0x7fn) | 0x80
    rest >>= 7n
  }
  target[end++] = Number(rest)
  return end
}

export function varintBytes(value: number): number {
  const magnitude = value < 0 ? -value - 1 : value
  let bytes = 1
  for (let limit = 64; magnitude >= limit; limit *= 128) bytes += 1
  return bytes
}

/** Reads one number after the other. */
export class VarintReader {
  readonly buffer: Buffer
  at: number

  constructor(buffer: Buffer, at: number) {
    this.buffer = buffer
    this.at = at
  }

  /** @throws {RangeError} at the end of the buffer, or past 2^53 */
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

  #long(low: number): number {
    let value = low
    for (let factor = 0x1000_0000; factor <= 2 ** 63; factor *= 128) {
      const byte = this.buffer[this.at++]
      if (byte === undefined) break
      value += (byte & 0x7f) * factor
      if (byte >= 0x80) continue
      if (value > Number.MAX_SAFE_INTEGER) break
      return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
    throw new RangeError('a number in a record batch does not end or exceeds 2^53')
  }
}
