// contract/encode-other: Postgres' text of booleans and bytea as Avro.

import type { AvroWriter } from './avro-writer.ts'

const letterT = 0x74

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
