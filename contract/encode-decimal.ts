// contract/encode-decimal: Postgres' text of a numeric as Avro's decimal.

import type { AvroWriter } from './avro-writer.ts'
import { parseDigits, powersOfTen } from './encode-scalar.ts'
import { Refusal } from './refusal.ts'

const minus = 0x2d
const zero = 0x30
const point = 0x2e

/** 76 digits are less than 2^256. */
const mostLimbs = 16
const limbs = new Uint16Array(mostLimbs)

/**
 * Writer of `bytes` with the logical type decimal: the unscaled value as two's complement,
 * big-endian, in the fewest bytes.
 * @throws {Refusal} NaN and the infinities have no decimal
 * @see https://avro.apache.org/docs/1.12.0/specification/#decimal
 */
export function decimalWriter(scale: number) {
  return (writer: AvroWriter, text: Buffer, start: number, end: number): void => {
    const negative = text[start] === minus
    const first = negative ? start + 1 : start
    const lead = text[first]! - zero
    if (!(lead >= 0 && lead <= 9)) throw new Refusal('a decimal downstream holds neither NaN nor an infinity')
    let wholeEnd = first
    while (wholeEnd < end && text[wholeEnd] !== point) wholeEnd++
    const decimals = wholeEnd === end ? 0 : end - wholeEnd - 1
    if (decimals > scale) throw new Refusal(`it has more than the ${scale} decimals its column was declared with`)
    const digits = wholeEnd - first + scale
    if (digits <= 15) {
      const whole = parseDigits(text, first, wholeEnd)
      const fraction = decimals === 0 ? 0 : parseDigits(text, wholeEnd + 1, end)
      const value = (whole * powersOfTen[decimals]! + fraction) * powersOfTen[scale - decimals]!
      writeSmall(writer, negative ? -value : value)
    } else {
      limbs.fill(0)
      appendDigits(text, first, wholeEnd)
      appendDigits(text, wholeEnd + 1, end)
      for (let padding = scale - decimals; padding > 0; padding -= 9) multiplyAdd(powersOfTen[Math.min(padding, 9)]!, 0)
      writeLimbs(writer, negative)
    }
  }
}

/** A value within ±2^53. */
function writeSmall(writer: AvroWriter, value: number): void {
  let bytes = 1
  for (let bound = 0x80; value >= bound || value < -bound; bound *= 0x100) bytes++
  writer.long(bytes)
  const { buffer } = writer
  let rest = value
  for (let at = writer.position + bytes - 1; at >= writer.position; at--) {
    buffer[at] = rest
    rest = Math.floor(rest / 0x100)
  }
  writer.position += bytes
}

function appendDigits(text: Buffer, start: number, end: number): void {
  for (let at = start; at < end; ) {
    const next = Math.min(at + 9, end)
    multiplyAdd(powersOfTen[next - at]!, parseDigits(text, at, next))
    at = next
  }
}

/** limbs = limbs × factor + addend, little-endian; factor and addend at most 10^9. */
function multiplyAdd(factor: number, addend: number): void {
  let carry = addend
  for (let limb = 0; limb < mostLimbs; limb++) {
    const value = limbs[limb]! * factor + carry
    limbs[limb] = value
    carry = Math.floor(value / 0x1_0000)
  }
}

function writeLimbs(writer: AvroWriter, negative: boolean): void {
  if (negative) negate()
  const filler = negative ? 0xff : 0
  let bytes = mostLimbs * 2
  while (bytes > 1 && byteAt(bytes - 1) === filler && (byteAt(bytes - 2) & 0x80) === (filler & 0x80)) bytes--
  writer.long(bytes)
  for (let index = bytes - 1; index >= 0; index--) writer.byte(byteAt(index))
}

function byteAt(index: number): number {
  return (limbs[index >> 1]! >> ((index & 1) * 8)) & 0xff
}

function negate(): void {
  let carry = 1
  for (let limb = 0; limb < mostLimbs; limb++) {
    const value = (~limbs[limb]! & 0xffff) + carry
    limbs[limb] = value
    carry = value >> 16
  }
}
