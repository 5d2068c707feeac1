// producer/stream/deferred-inserts: rows that came to be in a transaction, held back until its end where two may share a key meanwhile.

import { columnKinds } from '../../contract/bytes.ts'
import type { TextRow } from '../../contract/encode.ts'
import { type Table, tableName } from '../../contract/table.ts'
import { MillraceError } from '../../runtime/errors.ts'

/** Kind and length of a column, before its bytes. */
const headBytes = 5
/** Of all tables together. */
const mostBytes = 128 * 1024 * 1024
/** What a row costs beside its text: a string's head, an entry of the map and its share of the map's empty places. */
const rowBytes = 100

/** What is held at the moment, in the tables that share it. */
export interface HeldBytes {
  bytes: number
}

/**
 * With a deferrable primary key, a row may take a key before the row that had it leaves it. Told in that order, the later
 * delete would count as the last word on the key. So what comes to be is told at the end of the transaction, when all that
 * ceases to be has been told; a held row that changes or goes again was never there for anybody else.
 */
export class DeferredInserts {
  readonly #table: Table
  /** Whole rows as Latin-1 text, which keeps every byte, and how many rows look so. */
  readonly #rows = new Map<string, number>()
  readonly #shared: HeldBytes
  #bytes = 0

  /** @param shared by all tables of one stream */
  constructor(table: Table, shared: HeldBytes) {
    this.#table = table
    this.#shared = shared
  }

  /** @throws {MillraceError} TRANSACTION_TOO_LARGE */
  hold(row: TextRow): void {
    const text = pack(row)
    this.#rows.set(text, (this.#rows.get(text) ?? 0) + 1)
    this.#count(text.length + rowBytes)
    if (this.#shared.bytes > mostBytes) throw tooLarge(this.#table, this.#rows.size)
  }

  /** Takes a row back that looks so; false when none is held. */
  take(row: TextRow): boolean {
    if (this.#rows.size === 0) return false
    const text = pack(row)
    const count = this.#rows.get(text)
    if (count === undefined) return false
    if (count > 1) this.#rows.set(text, count - 1)
    else this.#rows.delete(text)
    this.#count(-text.length - rowBytes)
    return true
  }

  clear(): void {
    this.#rows.clear()
    this.#count(-this.#bytes)
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#shared.bytes += bytes
  }

  /** Hands over what is held, in the order in which it came to be, and holds nothing afterwards. */
  drain(take: (row: TextRow) => void): void {
    for (const [text, count] of this.#rows) for (let left = count; left > 0; left--) take(unpack(text))
    this.clear()
  }
}

function pack({ buffer, count, kinds, starts, ends }: TextRow): string {
  const parts: Buffer[] = []
  for (let column = 0; column < count; column++) {
    const isText = kinds[column] === columnKinds.text
    const bytes = isText ? buffer.subarray(starts[column], ends[column]) : buffer.subarray(0, 0)
    const head = Buffer.allocUnsafe(headBytes)
    head[0] = kinds[column]!
    head.writeUInt32BE(bytes.length, 1)
    parts.push(head, bytes)
  }
  return Buffer.concat(parts).toString('latin1')
}

function unpack(text: string): TextRow {
  const buffer = Buffer.from(text, 'latin1')
  const kinds: number[] = []
  const starts: number[] = []
  const ends: number[] = []
  for (let at = 0; at < buffer.length; at = ends.at(-1)!) {
    kinds.push(buffer[at]!)
    starts.push(at + headBytes)
    ends.push(at + headBytes + buffer.readUInt32BE(at + 1))
  }
  return { buffer, count: kinds.length, kinds, starts, ends }
}

function tooLarge(table: Table, rows: number): MillraceError {
  return new MillraceError('TRANSACTION_TOO_LARGE', {
    what: `a transaction creates or moves more than ${rows} rows of a table with a DEFERRABLE primary key, which are held until its end`,
    where: `table ${tableName(table)}`,
    next: 'make the primary key NOT DEFERRABLE, then start a new generation: millrace producer --new-generation',
  })
}
