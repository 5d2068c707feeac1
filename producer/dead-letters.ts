// producer/dead-letters: rows that cannot be represented: the error that stops at them, or the letter that sets them aside.
// May know: contract, runtime/errors, producer/{captured,output}.

import { type DeadLetter, deadLetterPartitions } from '../contract/dead-letter.ts'
import type { Change, TextRow } from '../contract/encode.ts'
import { comparePositions, formatLsn, type Position } from '../contract/position.ts'
import type { Refusal } from '../contract/refusal.ts'
import { type Table, tableName } from '../contract/table.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { CapturedTable } from './captured.ts'
import type { RecordSink } from './output.ts'

const nullKind = 0x6e

/** One image of a change, refused. */
export interface RefusedImage {
  readonly captured: CapturedTable
  readonly change: Change
  readonly image: 'before' | 'after'
  readonly row: TextRow
  readonly refusal: Refusal
}

export interface DeadLetterOptions {
  readonly sink: RecordSink
  /** Index of the dead-letter topic in the sink. */
  readonly topicIndex: number
  readonly maxRecordBytes: number
  /** Position of the producer's last letter. */
  readonly tail: Position | undefined
  /** Every letter about a change committed before it was written, as the last watermark says. */
  readonly durable: number
}

export class DeadLetters {
  /** Letters written so far. */
  records = 0
  readonly #options: DeadLetterOptions

  constructor(options: DeadLetterOptions) {
    this.#options = options
  }

  /**
   * Sets the row aside whole, in Postgres' text form and as it came out of its table's gate, unless that was done before.
   * @throws {MillraceError} VALUE_REFUSED when the table's policy is to stop, or when even the letter is too large
   */
  refuse(refused: RefusedImage): void {
    const { sink, topicIndex, maxRecordBytes, tail, durable } = this.#options
    // The letter of a row of hundreds of megabytes could not even be made.
    if (textBytes(refused.row) > maxRecordBytes) throw explain(refused, false)
    const key = Buffer.from(letterKey(refused.captured.table, refused.change, refused.image))
    const error = explain(refused, true)
    const value = Buffer.from(JSON.stringify(writeLetter(refused, error)))
    if (key.length + value.length > maxRecordBytes) throw explain(refused, false)
    if (refused.captured.onRefusal === 'stop') throw error
    if (refused.change.lsn < durable || (tail !== undefined && comparePositions(refused.change, tail) <= 0)) return
    sink.append(
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

/** Position of the change that a letter of the producer is about; undefined for a record that is no such letter. */
export function letterPosition(record: {
  readonly key: Buffer | null
  readonly value: Buffer | null
}): Position | undefined {
  try {
    const { schema, table, change } = JSON.parse(String(record.value)) as DeadLetter
    const { lsn, ordinal, image } = change!
    const key = letterKey({ schema: schema!, name: table! }, change!, image)
    return String(record.key) === key ? { lsn, ordinal } : undefined
  } catch {
    return undefined
  }
}

/** The same letter has the same key at every attempt. */
function letterKey(table: Pick<Table, 'schema' | 'name'>, { lsn, ordinal }: Position, image: string): string {
  return `${tableName(table)}/${formatLsn(lsn)}/${ordinal}/${image}`
}

function writeLetter({ captured, change, image, row }: RefusedImage, error: MillraceError): DeadLetter {
  const { lsn, ordinal, op } = change
  const { schema, name, columns } = captured.table
  const values = columns.map((column, index) => [column.name, textOf(row, index)])
  return {
    code: error.code,
    what: error.message,
    next: error.next,
    at: new Date().toISOString(),
    schema,
    table: name,
    change: { lsn, ordinal, op, image, row: Object.fromEntries(values) as Record<string, string | null> },
  }
}

/** @param fitsLetter whether the row could be set aside */
function explain({ captured, change, image, row, refusal }: RefusedImage, fitsLetter: boolean): MillraceError {
  const { table } = captured
  const name = tableName(table)
  const key = table.key.map(
    column =>
      `${column}=${textOf(
        row,
        table.columns.findIndex(({ name }) => name === column),
      )}`,
  )
  const shown = captured.guard ? 'a value' : JSON.stringify(refusal.text)
  const what =
    refusal.column === ''
      ? refusal.message
      : `column ${refusal.column} holds ${shown}, which cannot be represented: ${refusal.message}`
  const carryAsText =
    refusal.column === ''
      ? 'raise kafka.maxRecordBytes and start a new generation (millrace producer --new-generation)'
      : `carry the column as text (tables.${name}.text: [${refusal.column}]) and start a new generation (millrace producer --new-generation)`
  return new MillraceError('VALUE_REFUSED', {
    what,
    where: `table ${name}, row ${key.join(', ').slice(0, 200)}, ${image} image of the change at LSN ${formatLsn(change.lsn)}`,
    next: fitsLetter ? `${carryAsText}, or set such rows aside (tables.${name}.onRefusal: divert)` : carryAsText,
    cause: refusal,
  })
}

function textBytes({ count, starts, ends }: TextRow): number {
  let bytes = 0
  for (let column = 0; column < count; column++) bytes += ends[column]! - starts[column]!
  return bytes
}

function textOf(row: TextRow, column: number): string | null {
  return row.kinds[column] === nullKind ? null : row.buffer.toString('utf8', row.starts[column], row.ends[column])
}
