// postgres/protocol/copy-row: parses one row of COPY's text format into a tuple, in place.
// It makes no strings: bytes of escaped values are moved together inside the line.

import { columnKinds } from '../../contract/bytes.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Tuple } from './tuple.ts'

const tab = 0x09
const newline = 0x0a
const backslash = 0x5c
const letterN = 0x4e

/** The byte for each letter after a backslash; 0 where COPY TO writes no such escape. */
const unescaped = new Uint8Array(256)
for (const [letter, byte] of Object.entries({ b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, '\\': 0x5c })) {
  unescaped[letter.charCodeAt(0)] = byte
}

/**
 * Parses a line, including its newline, into `tuple`. The columns are ranges of `line`, which is
 * modified.
 * @throws {MillraceError} STREAM_CORRUPT when the line is incomplete or has another number of
 *   columns
 * @see https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
 */
export function parseCopyRow(line: Buffer, columns: number, tuple: Tuple): void {
  tuple.reserve(columns)
  tuple.buffer = line
  tuple.count = columns
  const { kinds, starts, ends } = tuple
  const last = line.length - 1
  if (line[last] !== newline) fail(line, 'no newline at its end')
  let at = 0
  for (let column = 0; column < columns; column++) {
    const start = at
    let byte = line[at]!
    while (byte !== tab && byte !== newline && byte !== backslash) byte = line[++at]!
    kinds[column] = columnKinds.text
    starts[column] = start
    ends[column] = at
    if (byte === backslash) {
      if (line[at + 1] === letterN && at === start) {
        kinds[column] = columnKinds.null
        at += 2
      } else at = undoEscapes(line, at, tuple, column)
    }
    const separator = column === columns - 1 ? newline : tab
    if (line[at++] !== separator) fail(line, `not ${columns} columns`)
  }
  if (at !== line.length) fail(line, 'a newline inside')
}

/** Continues at the first backslash of a column. @returns where the column ends in the line */
function undoEscapes(line: Buffer, from: number, tuple: Tuple, column: number): number {
  let at = from
  let to = from
  for (let byte = line[at]!; byte !== tab && byte !== newline; byte = line[at]!) {
    if (byte === backslash) {
      byte = unescaped[line[at + 1]!]!
      if (byte === 0) fail(line, 'an unknown escape')
      at++
    }
    line[to++] = byte
    at++
  }
  tuple.ends[column] = to
  return at
}

function fail(line: Buffer, finding: string): never {
  throw new MillraceError('STREAM_CORRUPT', {
    what: `a row of COPY has ${finding}`,
    where: `line of ${line.length} bytes`,
    next: 'nothing of it was used; start again, and if it comes back report the Postgres version and this line',
  })
}
