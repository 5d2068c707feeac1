// contract/read-position: the position at the start of a record's value, without decoding the rest.
// May know: contract/position, contract/wire.

import type { Position } from './position.ts'
import { readSchemaId, wireHeaderBytes } from './wire.ts'

/**
 * Position of the record with this value.
 * @throws {TypeError} when the bytes do not begin with a wire header and two Avro longs
 */
export function readPosition(value: Buffer): Position {
  if (readSchemaId(value, 0, value.length) < 0) throw new TypeError('the value does not have the Confluent wire format')
  const reader = { value, at: wireHeaderBytes }
  return { lsn: readLong(reader), ordinal: readLong(reader) }
}

/** An Avro long that is not negative and at most 2^53. */
function readLong(reader: { readonly value: Buffer; at: number }): number {
  let zigzag = 0
  for (let unit = 1; reader.at < reader.value.length; unit *= 0x80) {
    const byte = reader.value[reader.at++]!
    zigzag += (byte & 0x7f) * unit
    if (byte < 0x80) return checked(zigzag)
  }
  throw new TypeError('the value ends inside its position')
}

function checked(zigzag: number): number {
  const value = zigzag / 2
  if (!Number.isSafeInteger(value)) throw new TypeError('the value does not begin with a position')
  return value
}
