// contract/head: the first fields of a record's value, read without decoding the rest.
// valueSchema puts them first for this.

import type { Position } from './position.ts'
import { wireHeaderBytes } from './wire.ts'

export interface Head extends Position {
  readonly transaction: number
  /** Commit time by the source's clock, µs since the Unix epoch. */
  readonly commitTimeUs: number
  /** Whether the row comes from the initial load. */
  readonly snapshot: boolean
}

/**
 * Position, transaction id, commit time and snapshot mark of the value that starts at `start`, wire header included.
 * @throws {RangeError} when the bytes end early or a number lies beyond 2^53
 */
export function readHead(value: Buffer, start: number, end: number): Head {
  const cursor = { at: start + wireHeaderBytes }
  const lsn = readLong(value, cursor, end)
  const ordinal = readLong(value, cursor, end)
  const transaction = readLong(value, cursor, end)
  const commitTimeUs = readLong(value, cursor, end)
  if (cursor.at >= end) throw new RangeError('the value ends inside its position')
  return { lsn, ordinal, transaction, commitTimeUs, snapshot: value[cursor.at] === 1 }
}

/** Only the position of the value, as `readHead` reads it. */
export function readPosition(value: Buffer, start: number, end: number): Position {
  const cursor = { at: start + wireHeaderBytes }
  return { lsn: readLong(value, cursor, end), ordinal: readLong(value, cursor, end) }
}

/** Zig-zag varint; all four numbers are non-negative. @see https://avro.apache.org/docs/1.12.0/specification/#binary-encoding */
function readLong(source: Buffer, cursor: { at: number }, end: number): number {
  let value = 0
  let factor = 1
  for (;;) {
    if (cursor.at >= end) throw new RangeError('the value ends inside its position')
    const byte = source[cursor.at++]!
    value += (byte & 0x7f) * factor
    if (byte < 0x80) break
    factor *= 0x80
  }
  if (value % 2 !== 0 || value / 2 > Number.MAX_SAFE_INTEGER)
    throw new RangeError('the value does not start with a position')
  return value / 2
}
