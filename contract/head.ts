// contract/head: the wire header before every Avro body, and the first fields of a record's value.
// valueSchema puts these fields first, so that they can be read without decoding the rest.

import { VarintReader } from './bytes.ts'
import type { Position } from './position.ts'

/**
 * Magic byte 0 and a big-endian schema id.
 * @see https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/
 */
export const wireHeaderBytes = 5

export function writeWireHeader(target: Buffer, at: number, schemaId: number): number {
  target[at] = 0
  target.writeUInt32BE(schemaId, at + 1)
  return at + wireHeaderBytes
}

/** The schema id at the start of a value, or −1 when the bytes do not have the wire format. */
export function readSchemaId(source: Buffer, start: number, end: number): number {
  return end - start >= wireHeaderBytes && source[start] === 0 ? source.readUInt32BE(start + 1) : -1
}

export interface Head extends Position {
  readonly transaction: number
  /** Commit time by the source's clock, µs since the Unix epoch. */
  readonly commitTimeUs: number
  /** Whether the row comes from the initial load. */
  readonly snapshot: boolean
}

/**
 * Position, transaction id, commit time and snapshot mark of the value that starts at `start`, wire
 * header included.
 * @throws {RangeError} when the bytes end early, or a number is negative or exceeds 2^53
 */
export function readHead(value: Buffer, start: number, end: number): Head {
  const reader = new VarintReader(value, start + wireHeaderBytes)
  const lsn = readNatural(reader, end)
  const ordinal = readNatural(reader, end)
  const transaction = readNatural(reader, end)
  const commitTimeUs = readNatural(reader, end)
  if (reader.at >= end) throw new RangeError('the value ends inside its position')
  return { lsn, ordinal, transaction, commitTimeUs, snapshot: value[reader.at] === 1 }
}

/** Only the position of the value, as `readHead` reads it. */
export function readPosition(value: Buffer, start: number, end: number): Position {
  const reader = new VarintReader(value, start + wireHeaderBytes)
  return { lsn: readNatural(reader, end), ordinal: readNatural(reader, end) }
}

function readNatural(reader: VarintReader, end: number): number {
  const value = reader.next()
  if (reader.at > end) throw new RangeError('the value ends inside its position')
  if (value < 0) throw new RangeError('the value does not start with a position')
  return value
}
