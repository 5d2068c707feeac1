// clickhouse/native-numbers: columns of whole numbers and booleans of ClickHouse's Native format,
// which read their values from Avro.
// The hot path: no allocation per value.

import { temporalLimits } from '../contract/types.ts'

/** Returned instead of a position when the column's type cannot hold the value. */
export const unfit = -1

/**
 * The values of one column, by row. The bytes are those of a column in a Native block, without the
 * null map.
 * @see https://clickhouse.com/docs/interfaces/formats/Native
 */
export interface NativeValues {
  /**
   * Reads the Avro value at `at` as the value of `row`. Rows are given in order; row 0 begins
   * again.
   * @returns the position after the value, or `unfit`
   */
  read(source: Buffer, at: number, row: number): number
  /** The type's default value, which is below a NULL. */
  skip(row: number): void
  /** Makes room for this number of rows, and keeps the rows before. */
  grow(rows: number): void
  /** The bytes of the first rows. They share this object's memory. */
  bytes(rows: number): Buffer
}

type Words = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array

/** Values of a fixed number of words each. The machine must be little-endian, as the format is. */
export class FixedValues<Array extends Words> {
  array: Array
  readonly perRow: number
  readonly #allocate: (length: number) => Array

  constructor(allocate: (length: number) => Array, perRow = 1) {
    this.array = allocate(0)
    this.perRow = perRow
    this.#allocate = allocate
  }

  grow(rows: number): void {
    const grown = this.#allocate(rows * this.perRow)
    grown.set(this.array.subarray(0, grown.length))
    this.array = grown
  }

  skip(row: number): void {
    this.array.fill(0, row * this.perRow, (row + 1) * this.perRow)
  }

  bytes(rows: number): Buffer {
    const { buffer, BYTES_PER_ELEMENT } = this.array
    return Buffer.from(buffer, 0, rows * this.perRow * BYTES_PER_ELEMENT)
  }
}

export class BooleanValues extends FixedValues<Uint8Array> implements NativeValues {
  constructor() {
    super(length => new Uint8Array(length))
  }

  read(source: Buffer, at: number, row: number): number {
    const value = source[at]!
    this.array[row] = value
    return value <= 1 ? at + 1 : unfit
  }
}

/** Whole numbers of at most 32 bits, within bounds. */
export class IntegerValues extends FixedValues<Int16Array | Int32Array> implements NativeValues {
  readonly #min: number
  readonly #max: number

  constructor(allocate: (length: number) => Int16Array | Int32Array, { min, max }: { min: number; max: number }) {
    super(allocate)
    this.#min = min
    this.#max = max
  }

  read(source: Buffer, at: number, row: number): number {
    let end = at
    let byte = source[end++]!
    let zigzag = byte & 0x7f
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = source[end++]!
      if (shift > 28 || (shift === 28 && byte > 0x0f)) return unfit
      zigzag |= (byte & 0x7f) << shift
    }
    const value = (zigzag >>> 1) ^ -(zigzag & 1)
    this.array[row] = value
    return value >= this.#min && value <= this.#max ? end : unfit
  }
}

/**
 * Reads a zig-zag varint as 64 bits in two words, the low one first.
 * @returns the position after it, or `unfit` when it has more bits
 */
export function readLong(source: Buffer, at: number, words: Int32Array, index: number): number {
  let end = at
  let byte = source[end++]!
  let low = byte & 0x7f
  let high = 0
  for (let shift = 7; byte >= 0x80; shift += 7) {
    byte = source[end++]!
    if (shift < 28) low |= (byte & 0x7f) << shift
    else if (shift === 28) {
      low |= byte << 28
      high = (byte & 0x7f) >>> 4
    } else {
      if (shift > 63 || (shift === 63 && byte > 1)) return unfit
      high |= (byte & 0x7f) << (shift - 32)
    }
  }
  const sign = -(low & 1)
  words[index] = ((low >>> 1) | (high << 31)) ^ sign
  words[index + 1] = (high >>> 1) ^ sign
  return end
}

export class LongValues extends FixedValues<Int32Array> implements NativeValues {
  constructor() {
    super(length => new Int32Array(length), 2)
  }

  read(source: Buffer, at: number, row: number): number {
    return readLong(source, at, this.array, 2 * row)
  }
}

const { min: firstSecond, max: lastSecond } = temporalLimits.timestampSeconds
const firstMicro = firstSecond * 1_000_000
/** The first microsecond after the range, in two words. It is even, so it is exact as a double. */
const endMicro = (lastSecond + 1) * 1_000_000
const endHigh = Math.floor(endMicro / 0x1_0000_0000)
const endLow = endMicro % 0x1_0000_0000

/** Microseconds within the range of DateTime64(6). */
export class TimestampValues extends LongValues {
  override read(source: Buffer, at: number, row: number): number {
    const end = super.read(source, at, row)
    const low = this.array[2 * row]! >>> 0
    const high = this.array[2 * row + 1]!
    if (high < 0) return high * 0x1_0000_0000 + low >= firstMicro ? end : unfit
    return high < endHigh || (high === endHigh && low < endLow) ? end : unfit
  }
}

/** Natural numbers of 32 bits, from a long. */
export class OidValues extends FixedValues<Int32Array> implements NativeValues {
  readonly #words = new Int32Array(2)

  constructor() {
    super(length => new Int32Array(length))
  }

  read(source: Buffer, at: number, row: number): number {
    const end = readLong(source, at, this.#words, 0)
    this.array[row] = this.#words[0]!
    return this.#words[1] === 0 ? end : unfit
  }
}
