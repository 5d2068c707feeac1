// test/support/text-row: values as a row of text, the way a message of Postgres holds them.

import type { TextRow } from '../../contract/encode.ts'

/** A row of these values with some bytes of other columns around them. */
export function textRow(values: readonly (string | null)[]): TextRow {
  const parts = values.map(value => Buffer.from(`#${value ?? ''}`))
  const ends: number[] = []
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + part.length)
  return {
    buffer: Buffer.concat([...parts, Buffer.from('9.9')]),
    count: values.length,
    kinds: values.map(value => (value === null ? 0x6e : 0x74)),
    starts: ends.map((at, index) => at - parts[index]!.length + 1),
    ends,
  }
}
