// clickhouse/native-values: the column of ClickHouse's Native format for each encoding.
// The hot path: no allocation per value.

import { copyBytes, longestVarint, withRoom } from '../contract/bytes.ts'
import type { Column } from '../contract/table.ts'
import { temporalLimits } from '../contract/types.ts'
import {
  BooleanValues,
  FixedValues,
  IntegerValues,
  LongValues,
  type NativeValues,
  OidValues,
  TimestampValues,
  unfit,
} from './native-numbers.ts'

/** An empty column for the values of a captured column. */
export function nativeValues(column: Column): NativeValues {
  switch (column.encoding) {
    case 'boolean':
      return new BooleanValues()
    case 'int':
      return column.pgType === 'smallint'
        ? new IntegerValues(length => new Int16Array(length), { min: -0x8000, max: 0x7fff })
        : new IntegerValues(length => new Int32Array(length), { min: -0x8000_0000, max: 0x7fff_ffff })
    case 'date':
      return new IntegerValues(length => new Int32Array(length), temporalLimits.dateDays)
    case 'long':
      return column.pgType === 'oid' ? new OidValues() : new LongValues()
    case 'timestamp':
    case 'timestamptz':
      return new TimestampValues()
    case 'float':
      return new RawValues(4)
    case 'double':
      return new RawValues(8)
    case 'decimal':
      return new DecimalValues(decimalBytes(column.precision!))
    case 'uuid':
      return new UuidValues()
    case 'bytes':
    case 'string':
      return new TextValues()
  }
}

/** Bytes of a Decimal. @see https://clickhouse.com/docs/sql-reference/data-types/decimal */
function decimalBytes(precision: number): number {
  if (precision <= 9) return 4
  if (precision <= 18) return 8
  return precision <= 38 ? 16 : 32
}

/** Values with the same bytes in both formats. */
class RawValues extends FixedValues<Uint8Array> implements NativeValues {
  constructor(size: number) {
    super(length => new Uint8Array(length), size)
  }

  read(source: Buffer, at: number, row: number): number {
    const { array, perRow } = this
    const start = row * perRow
    for (let index = 0; index < perRow; index++) array[start + index] = source[at + index]!
    return at + perRow
  }
}

/** Two's complement: big-endian in the fewest bytes in Avro, little-endian of fixed size here. */
class DecimalValues extends FixedValues<Uint8Array> implements NativeValues {
  constructor(size: number) {
    super(length => new Uint8Array(length), size)
  }

  read(source: Buffer, at: number, row: number): number {
    const { array, perRow } = this
    // Zig-zag of a length of at most 32 is one even byte.
    const size = source[at]! / 2
    if (!(size >= 1 && size <= perRow) || size % 1 !== 0) return unfit
    const filler = source[at + 1]! >= 0x80 ? 0xff : 0
    const start = row * perRow
    for (let index = 0; index < size; index++) array[start + index] = source[at + size - index]!
    for (let index = size; index < perRow; index++) array[start + index] = filler
    return at + 1 + size
  }
}

/** Value of each hexadecimal digit by its ASCII code; 0xff for other bytes. */
const hexadecimal = Uint8Array.from({ length: 256 }, (_, code) => {
  const value = '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase())
  return value === -1 ? 0xff : value
})
const uuidBytes = 36
const hyphens = [8, 13, 18, 23]
/** Where the two digits of each byte are in the text, in ClickHouse's order of bytes. */
const uuidDigits = Uint8Array.of(16, 14, 11, 9, 6, 4, 2, 0, 34, 32, 30, 28, 26, 24, 21, 19)
const dash = 0x2d

/** A UUID is two little-endian numbers of 64 bits. Avro has its text. */
class UuidValues extends FixedValues<Uint8Array> implements NativeValues {
  constructor() {
    super(length => new Uint8Array(length), 16)
  }

  read(source: Buffer, at: number, row: number): number {
    const text = at + 1
    if (source[at] !== 2 * uuidBytes) return unfit
    for (const hyphen of hyphens) if (source[text + hyphen] !== dash) return unfit
    const start = row * 16
    let seen = 0
    for (let byte = 0; byte < 16; byte++) {
      const digits = text + uuidDigits[byte]!
      const high = hexadecimal[source[digits]!]!
      const low = hexadecimal[source[digits + 1]!]!
      seen |= high | low
      this.array[start + byte] = (high << 4) | low
    }
    return seen <= 0x0f ? text + uuidBytes : unfit
  }
}

const firstBytes = 1024

/** Bytes of any length, each value after its length. Avro's length is zig-zag, Native's is not. */
class TextValues implements NativeValues {
  #buffer: Buffer = Buffer.alloc(0)
  #length = 0

  read(source: Buffer, at: number, row: number): number {
    if (row === 0) this.#length = 0
    let from = at
    let byte = source[from++]!
    let zigzag = byte & 0x7f
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = source[from++]!
      if (shift > 21) return unfit
      zigzag |= (byte & 0x7f) << shift
    }
    const size = zigzag >>> 1
    const end = from + size
    if ((zigzag & 1) === 1 || end > source.length) return unfit
    this.#reserve(size + longestVarint)
    let to = this.#length
    let rest = size
    for (; rest >= 0x80; rest >>>= 7) this.#buffer[to++] = (rest & 0x7f) | 0x80
    this.#buffer[to++] = rest
    this.#length = copyBytes(source, from, end, this.#buffer, to)
    return end
  }

  skip(row: number): void {
    if (row === 0) this.#length = 0
    this.#reserve(1)
    this.#buffer[this.#length++] = 0
  }

  grow(rows: number): void {
    if (rows === 0) this.#buffer = Buffer.alloc(0)
  }

  bytes(rows: number): Buffer {
    return this.#buffer.subarray(0, rows === 0 ? 0 : this.#length)
  }

  #reserve(more: number): void {
    if (this.#length + more > this.#buffer.length) {
      this.#buffer = withRoom(this.#buffer, this.#length, Math.max(more, firstBytes))
    }
  }
}
