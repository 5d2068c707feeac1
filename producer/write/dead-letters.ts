// producer/write/dead-letters: rows that cannot be represented, as errors or as dead letters.

import { createHash } from 'node:crypto'
import { columnKinds } from '../../contract/bytes.ts'
import { type DeadLetter, deadLetterPartitions } from '../../contract/dead-letter.ts'
import type { Change, TextRow } from '../../contract/encode.ts'
import { comparePositions, formatLsn, type Position } from '../../contract/position.ts'
import type { Refusal } from '../../contract/refusal.ts'
import { type Table, tableName } from '../../contract/table.ts'
import { quoteTable } from '../../postgres/client/quote.ts'
import { entryName } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { CapturedTable } from '../capture/captured-table.ts'
import type { RecordAppender } from './table-writer.ts'

/** One image of a change that was refused. */
export interface RefusedImage {
  readonly captured: CapturedTable
  readonly change: Change
  readonly image: 'before' | 'after'
  readonly row: TextRow
  readonly refusal: Refusal
}

export interface DeadLetterOptions {
  readonly appender: RecordAppender
  /** Index of the dead-letter topic in the Kafka producer. */
  readonly topicIndex: number
  readonly maxRecordBytes: number
  /** Position of the producer's last dead letter. */
  readonly lastPosition: Position | undefined
  /**
   * Every dead letter about a change committed before this LSN was written, by the last watermark.
   */
  readonly durable: number
}

export class DeadLetters {
  /** Dead letters written so far. */
  records = 0
  readonly #options: DeadLetterOptions

  constructor(options: DeadLetterOptions) {
    this.#options = options
  }

  /**
   * Writes the row as a dead letter, in Postgres' text form as the masker returned it, unless an
   * earlier attempt did. When the record is too large, columns are left out of it, the largest
   * first.
   * @throws {MillraceError} VALUE_REFUSED when the table's policy is to stop, or when a dead letter
   *   without any value is too large
   */
  refuse(refused: RefusedImage): void {
    const { appender, topicIndex, maxRecordBytes, lastPosition, durable } = this.#options
    const key = Buffer.from(deadLetterKey(refused.captured.table, refused.change, refused.image))
    const value = writeDeadLetter(refused, explain(refused, true), maxRecordBytes - key.length)
    if (value === undefined) throw explain(refused, false)
    if (refused.captured.onError === 'stop') throw explain(refused, true)
    if (
      refused.change.lsn < durable ||
      (lastPosition !== undefined && comparePositions(refused.change, lastPosition) <= 0)
    )
      return
    appender.append(
      topicIndex,
      deadLetterPartitions.producer,
      Buffer.concat([key, value]),
      0,
      key.length,
      key.length,
      key.length + value.length,
    )
    this.records++
  }
}

/** Position of the change of a producer's dead letter; undefined for any other record. */
export function deadLetterPosition(record: {
  readonly key: Buffer | null
  readonly value: Buffer | null
}): Position | undefined {
  try {
    const { schema, table, change } = JSON.parse(String(record.value)) as DeadLetter
    const { lsn, ordinal, image } = change!
    const key = deadLetterKey({ schema: schema!, name: table! }, change!, image)
    return String(record.key) === key ? { lsn, ordinal } : undefined
  } catch {
    return undefined
  }
}

/** The same dead letter has the same key at every attempt. */
function deadLetterKey(table: Pick<Table, 'schema' | 'name'>, { lsn, ordinal }: Position, image: string): string {
  return `${tableName(table)}/${formatLsn(lsn)}/${ordinal}/${image}`
}

/** The dead letter as JSON; undefined when it is too large even without the values of the row. */
function writeDeadLetter(refused: RefusedImage, error: MillraceError, mostBytes: number): Buffer | undefined {
  const { captured, change, image, row } = refused
  const { lsn, ordinal, op } = change
  const { schema, name, columns } = captured.table
  const about = { code: error.code, what: error.message, next: error.next, at: new Date().toISOString() }
  const write = (parts: Pick<NonNullable<DeadLetter['change']>, 'row' | 'cut'>) => {
    const letter: DeadLetter = { ...about, schema, table: name, change: { lsn, ordinal, op, image, ...parts } }
    return Buffer.from(JSON.stringify(letter))
  }
  const names = columns.reduce((bytes, column) => bytes + jsonBytes(column.name) + 2, 0)
  const cut = largestColumns(row, columns.length, mostBytes - write({ row: {}, cut: {} }).length - names)
  const named = <Value>(isCut: boolean, value: (index: number) => Value) =>
    Object.fromEntries(columns.flatMap(({ name }, index) => (cut.has(index) === isCut ? [[name, value(index)]] : [])))
  const whole = { row: named(false, index => textOf(row, index)) }
  const value = write(cut.size === 0 ? whole : { ...whole, cut: named(true, index => digestOf(row, index)) })
  return value.length <= mostBytes ? value : undefined
}

/** `{"bytes":1000000000,"sha256":"…"}` */
const digestBytes = 100

/** Larger than any field of Postgres, and a sum of thousands of them is still exact. */
const hugeBytes = 2 ** 31

/** The columns to leave out so that the others have room, the largest first. */
function largestColumns(row: TextRow, columns: number, roomBytes: number): Set<number> {
  const cut = new Set<number>()
  // A column larger than the room is not converted to text, because a string's length is limited
  // too.
  const sizes = Array.from({ length: columns }, (_, index) =>
    row.ends[index]! - row.starts[index]! > roomBytes ? hugeBytes : jsonBytes(textOf(row, index)),
  )
  const largestFirst = [...sizes.keys()].sort((a, b) => sizes[b]! - sizes[a]!)
  let total = sizes.reduce((sum, size) => sum + size, 0)
  for (const index of largestFirst) {
    if (total <= roomBytes || sizes[index]! <= digestBytes) break
    cut.add(index)
    total += digestBytes - sizes[index]!
  }
  return cut
}

function jsonBytes(text: string | null): number {
  return Buffer.byteLength(JSON.stringify(text))
}

function digestOf({ buffer, starts, ends }: TextRow, column: number): { bytes: number; sha256: string } {
  const text = buffer.subarray(starts[column], ends[column])
  return { bytes: text.length, sha256: createHash('sha256').update(text).digest('hex') }
}

/**
 * The message contains neither the value nor the row's key: errors are logged, and shown to every
 * reader of the status.
 * @param fitsDeadLetter whether the row could become a dead letter
 */
function explain({ captured, change, image, refusal }: RefusedImage, fitsDeadLetter: boolean): MillraceError {
  const { table } = captured
  const name = entryName(table)
  const isWhole = refusal.column === ''
  const what = isWhole
    ? refusal.message
    : `column ${refusal.column} holds a value that cannot be represented: ${refusal.message}`
  const remedy = isWhole
    ? 'raise kafka.maxRecordBytes'
    : `send the column as text (tables.${name}.text: [${refusal.column}])`
  const deadLetter = fitsDeadLetter ? `, or keep such rows as dead letters (tables.${name}.onError: dead-letter)` : ''
  const place = change.snapshot ? 'a row of the initial load' : `${image} image of a change`
  const show = `SELECT * FROM ${quoteTable(table)} WHERE xmin::text = '${change.txId}'`
  const look = change.snapshot || image === 'before' ? '' : `; ${show} shows the row, unless it has changed since`
  return new MillraceError('VALUE_REFUSED', {
    what,
    where: `table ${tableName(table)}, ${place}, number ${change.ordinal} in transaction ${change.txId} at LSN ${formatLsn(change.lsn)}`,
    next: `${remedy} and start a new generation (millrace producer --new-generation)${deadLetter}${look}`,
    cause: refusal,
  })
}

function textOf(row: TextRow, column: number): string | null {
  return row.kinds[column] === columnKinds.null
    ? null
    : row.buffer.toString('utf8', row.starts[column], row.ends[column])
}
