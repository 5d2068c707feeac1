// postgres/client/copy-in: copies rows into a table, with back-pressure from Postgres.

import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { from } from 'pg-copy-streams'
import type { Client } from './client.ts'
import { postgresError } from './errors.ts'

export type Cell = string | number | boolean | null

/** Characters of one piece on the wire. */
const pieceLength = 65_536

/**
 * Sends the rows in the order of `columns`. @returns their number @throws {MillraceError}
 * POSTGRES_*
 */
export async function copyRows(
  client: Client,
  table: string,
  columns: readonly string[],
  rows: Iterable<readonly Cell[]>,
): Promise<number> {
  const statement = `COPY ${table} (${columns.join(', ')}) FROM STDIN`
  const target = client.query(from(statement))
  try {
    await pipeline(Readable.from(pieces(rows)), target)
    return target.rowCount
  } catch (error) {
    throw postgresError(error, statement)
  }
}

function* pieces(rows: Iterable<readonly Cell[]>): Generator<Buffer> {
  let text = ''
  for (const row of rows) {
    let separator = ''
    for (const cell of row) {
      text += separator + copyText(cell)
      separator = '\t'
    }
    text += '\n'
    if (text.length < pieceLength) continue
    yield Buffer.from(text)
    text = ''
  }
  if (text !== '') yield Buffer.from(text)
}

/** @see https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS-TEXT-FORMAT */
function copyText(cell: Cell): string {
  if (cell === null) return '\\N'
  if (typeof cell !== 'string') return String(cell)
  return /[\\\n\r\t]/.test(cell) ? cell.replace(/[\\\n\r\t]/g, character => `\\${escapes[character]}`) : cell
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\', '\n': 'n', '\r': 'r', '\t': 't' }
