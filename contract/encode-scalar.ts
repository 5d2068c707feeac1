// contract/encode-scalar: Postgres' text of numbers, booleans and bytea as Avro, without an
// intermediate string.

import type { AvroWriter } from './avro-writer.ts'

const minus = 0x2d
const zero = 0x30
const point = 0x2e
const letterT = 0x74

/** `int` or `long` from decimal digits, exact for every int8. */
export function writeInteger(writer: AvroWriter, text: Buffer, start: number, end: number): void {
  const negative = text[start] === minus
  const first = negative ? start + 1 : start
  if (end - first <= 15) {
    const value = parseDigits(text, first, end)
    writer.long(negative ? -value : value)
  } else {
    writeProduct(writer, parseDigits(text, first, end - 9), 1_000_000_000, parseDigits(text, end - 9, end), negative)
  }
}

/** Whole number of at most 15 digits. */
export function parseDigits(text: Buffer, start: number, end: number): number {
  let value = 0
  for (let at = start; at < end; at++) value = value * 10 + text[at]! - zero
  return value
}

/**
 * `long` of ±(a × factor + b) in 64 bits, for a < 2^34, factor ≤ 10^9 and b < 2^50. All parts of
 * the sum are below 2^53; the result may exceed it.
 */
export function writeProduct(writer: AvroWriter, a: number, factor: number, b: number, negative = false): void {
  const lowProduct = (a % 0x10_0000) * factor + b
  const highProduct = Math.floor(a / 0x10_0000) * factor
  const lowSum = lowProduct + (highProduct % 0x1000) * 0x10_0000
  const high = Math.floor(highProduct / 0x1000) + Math.floor(lowSum / 0x1_0000_0000)
  const low = lowSum >>> 0
  if (!negative) writer.long64(high, low)
  else writer.long64(low === 0 ? -high : ~high, -low)
}

/** 10^0 to 10^22, the powers of ten that are exact as doubles. */
export const powersOfTen: readonly number[] = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`))

const numbers = new DataView(new ArrayBuffer(8))
const numberBytes = Buffer.from(numbers.buffer)

/** `double` from Postgres' shortest text, to the same bits. */
export function writeDouble(writer: AvroWriter, text: Buffer, start: number, end: number): void {
  numbers.setFloat64(0, parseFloating(text, start, end), true)
  writer.raw(numberBytes, 0, 8)
}

/**
 * The only float4 that changes when its shortest text is rounded to a double first and then to a
 * float: the double is exactly halfway between two floats. A search over all 2^32 values found no
 * other.
 */
const roundedTwice = { text: 7.038531e-26, float: 7.038530691851209e-26 }

/** `float` from Postgres' shortest text, to the same bits. */
export function writeFloat(writer: AvroWriter, text: Buffer, start: number, end: number): void {
  const value = parseFloating(text, start, end)
  const float = Math.abs(value) === roundedTwice.text ? Math.sign(value) * roundedTwice.float : value
  numbers.setFloat32(0, float, true)
  writer.raw(numberBytes, 0, 4)
}

/**
 * The nearest double. Up to 15 digits and a power of ten up to 22 are exact as doubles, so their
 * quotient is rounded only once (W. Clinger, "How to read floating point numbers accurately",
 * 1990). The engine's own parser reads all other texts.
 */
function parseFloating(text: Buffer, start: number, end: number): number {
  const negative = text[start] === minus
  let mantissa = 0
  let decimals = -1
  if (end - start > 17) return Number(text.toString('latin1', start, end))
  for (let at = negative ? start + 1 : start; at < end; at++) {
    const digit = text[at]! - zero
    if (digit >= 0 && digit <= 9) {
      mantissa = mantissa * 10 + digit
      if (decimals >= 0) decimals++
    } else if (text[at] === point) decimals = 0
    else return Number(text.toString('latin1', start, end))
  }
  if (mantissa > Number.MAX_SAFE_INTEGER) return Number(text.toString('latin1', start, end))
  const value = decimals > 0 ? mantissa / powersOfTen[decimals]! : mantissa
  return negative ? -value : value
}

/** `boolean` from `t` or `f`. */
export function writeBoolean(writer: AvroWriter, text: Buffer, start: number): void {
  writer.byte(text[start] === letterT ? 1 : 0)
}

/** `bytes` from the hexadecimal form `\x…`, which `bytea_output = hex` prints. */
export function writeHex(writer: AvroWriter, text: Buffer, start: number, end: number): void {
  const bytes = (end - start - 2) >> 1
  writer.long(bytes)
  const { buffer } = writer
  let at = writer.position
  for (let from = start + 2; from < end; from += 2) {
    buffer[at++] = (nibble(text[from]!) << 4) | nibble(text[from + 1]!)
  }
  writer.position = at
}

function nibble(digit: number): number {
  return digit <= 0x39 ? digit - 0x30 : digit - 0x57
}
