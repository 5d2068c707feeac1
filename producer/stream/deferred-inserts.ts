// producer/stream/deferred-inserts: inserts that are sent at the end of their transaction, for
// deferrable keys.

import { columnKinds } from '../../contract/bytes.ts'
import type { TextRow } from '../../contract/encode.ts'
import { type Table, tableName } from '../../contract/table.ts'
import { MillraceError } from '../../runtime/errors.ts'

/** Kind and length of a column, before its bytes. */
const headBytes = 5
/** Limit for all tables together. */
const mostBytes = 128 * 1024 * 1024
/**
 * Memory of a row beside its text: the string's header, the map's entry and its share of the map's
 * free slots.
 */
const rowBytes = 100

/** Bytes of the deferred rows of all tables that share this object. */
export interface DeferredBytes {
  bytes: number
}

/**
 * With a deferrable primary key, a row may take a key before the earlier row with that key leaves
 * it. If the insert were sent first, the later delete would win. So inserts are deferred to the end
 * of the transaction, after all deletes. A deferred row that is updated or deleted in the same
 * transaction was never visible to others, so its earlier state is not sent.
 */
export class DeferredInserts {
  readonly #table: Table
  /** Whole rows as Latin-1 text, which keeps every byte, with the number of equal rows. */
  readonly #rows = new Map<string, number>()
  readonly #shared: DeferredBytes
  #bytes = 0

  /** @param shared by all tables of one stream */
  constructor(table: Table, shared: DeferredBytes) {
    this.#table = table
    this.#shared = shared
  }

  /** @throws {MillraceError} TRANSACTION_TOO_LARGE */
  defer(row: TextRow): void {
    const text = pack(row)
    this.#rows.set(text, (this.#rows.get(text) ?? 0) + 1)
    this.#count(text.length + rowBytes)
    if (this.#shared.bytes > mostBytes) throw tooLarge(this.#table, this.#rows.size)
  }

  /** Removes one row equal to this one. @returns false when none is deferred */
  remove(row: TextRow): boolean {
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

  /** Passes on all deferred rows in the order of their inserts, and forgets them. */
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
    what: `a transaction creates or moves more than ${rows} rows of a table with a DEFERRABLE primary key, which have to wait until its end`,
    where: `table ${tableName(table)}`,
    next: 'make the primary key NOT DEFERRABLE, then start a new generation: millrace producer --new-generation',
  })
}
