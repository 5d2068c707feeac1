// contract/encode: a row in Postgres' text form as the key and value of a Kafka record.
// One pass from bytes to bytes; no string and no object per column.

import type { AvroWriter } from './avro-writer.ts'
import { columnKinds, lengthAndText, longestVarint } from './bytes.ts'
import { decimalWriter } from './encode-decimal.ts'
import { writeBoolean, writeDouble, writeFloat, writeHex, writeInteger } from './encode-scalar.ts'
import { writeDate, writeTimestamp } from './encode-temporal.ts'
import { wireHeaderBytes, writeWireHeader } from './head.ts'
import { Refusal } from './refusal.ts'
import type { Column, Encoding, Table } from './table.ts'

/** A row of text values inside a message: column i is `buffer[starts[i]..ends[i])`. */
export interface TextRow {
  readonly buffer: Buffer
  readonly count: number
  /** One of `columnKinds` per column. The encoder accepts NULL and text. */
  readonly kinds: ArrayLike<number>
  readonly starts: ArrayLike<number>
  readonly ends: ArrayLike<number>
}

/**
 * The envelope without the images. `op` is r (snapshot), c (create), u (update), d (delete) or t
 * (truncate).
 */
export interface Change {
  readonly op: 'r' | 'c' | 'u' | 'd' | 't'
  readonly lsn: number
  readonly ordinal: number
  readonly txId: number
  /** Commit time at the source, µs since the Unix epoch. */
  readonly commitTimeUs: number
  readonly snapshot: boolean
  /** When the record was written, ms since the Unix epoch. */
  readonly madeAtMs: number
}

export interface EncoderOptions {
  /** Every row has all of its columns, in this order. */
  readonly table: Table
  readonly keySchemaId: number
  readonly valueSchemaId: number
  /**
   * Limit of one encoded image together with its key. Whether a row exceeds it depends on the row
   * alone.
   */
  readonly maxImageBytes: number
}

type ValueWriter = (writer: AvroWriter, text: Buffer, start: number, end: number) => void

const writeText: ValueWriter = (writer, text, start, end) => writer.bytes(text, start, end)

const valueWriters: Record<Exclude<Encoding, 'decimal'>, ValueWriter> = {
  boolean: writeBoolean,
  int: writeInteger,
  long: writeInteger,
  float: writeFloat,
  double: writeDouble,
  date: writeDate,
  timestamp: writeTimestamp,
  timestamptz: writeTimestamp,
  uuid: writeText,
  bytes: writeHex,
  string: writeText,
}

/** Union branch, length, and the widest value of fixed size, without the bytes of the text. */
const mostBytesBesideText = 1 + longestVarint + 32
/** Two wire headers, the numbers of the envelope and the branches of its unions. */
const mostEnvelopeBytes = 2 * wireHeaderBytes + 6 * longestVarint + 8
/**
 * The text that shrinks most, the digits of a decimal, is less than three times as long as its
 * encoding.
 */
const mostTextPerByte = 3

/**
 * Encodes the rows of one table into a writer that may serve several tables, one record at a time.
 */
export class Encoder {
  /**
   * The last record's key is `writer.buffer[0..keyEnd)`, its value
   * `writer.buffer[keyEnd..valueEnd)`.
   */
  keyEnd = 0
  valueEnd = 0
  readonly writer: AvroWriter
  private readonly options: EncoderOptions
  private readonly columns: readonly Column[]
  private readonly valueWriters: readonly ValueWriter[]
  private readonly keyColumns: readonly number[]
  /** `source.schema` and `source.table`, encoded. */
  private readonly names: Buffer

  constructor(options: EncoderOptions, writer: AvroWriter) {
    const { table } = options
    this.options = options
    this.writer = writer
    this.columns = table.columns
    this.valueWriters = table.columns.map(valueWriter)
    this.keyColumns = table.key.map(name => table.columns.findIndex(column => column.name === name))
    this.names = Buffer.concat([table.schema, table.name].map(lengthAndText))
  }

  /**
   * Encodes one record, overwriting the last one. A truncate has no images and an empty key.
   * @throws {Refusal} when a value cannot be represented or an image is too large; the record is
   *   not valid then
   */
  encode(change: Change, before: TextRow | undefined, after: TextRow | undefined): void {
    const { writer } = this
    const keyRow = after ?? before
    writer.position = 0
    writer.reserve(mostEnvelopeBytes + this.names.length + 2 * (this.roomFor(before) + this.roomFor(after)))
    if (keyRow) this.writeKey(keyRow)
    this.keyEnd = writer.position
    this.writeEnvelope(change)
    this.writeImage(before)
    this.writeImage(after)
    this.valueEnd = writer.position
  }

  /** An upper bound of the row's encoded size. */
  private roomFor(row: TextRow | undefined): number {
    if (!row) return 0
    let text = 0
    for (let index = 0; index < row.count; index++) text += row.ends[index]! - row.starts[index]!
    if (text > this.options.maxImageBytes * mostTextPerByte) throw this.tooLarge(`${text} bytes as text`)
    return text + row.count * mostBytesBesideText
  }

  private writeKey(row: TextRow): void {
    const { writer } = this
    writer.position = writeWireHeader(writer.buffer, writer.position, this.options.keySchemaId)
    for (const index of this.keyColumns) this.writeValue(row, index)
  }

  private writeEnvelope(change: Change): void {
    const { writer } = this
    writer.position = writeWireHeader(writer.buffer, writer.position, this.options.valueSchemaId)
    writer.long(change.lsn)
    writer.long(change.ordinal)
    writer.long(change.txId)
    writer.long(change.commitTimeUs)
    writer.byte(change.snapshot ? 1 : 0)
    writer.raw(this.names, 0, this.names.length)
    writer.byte(2)
    writer.byte(change.op.charCodeAt(0))
    writer.long(change.madeAtMs)
  }

  private writeImage(row: TextRow | undefined): void {
    const { writer, columns } = this
    writer.byte(row ? 2 : 0)
    if (!row) return
    const start = writer.position
    for (let index = 0; index < columns.length; index++) {
      const nullable = columns[index]!.nullable
      if (row.kinds[index] !== columnKinds.null) {
        if (nullable) writer.byte(2)
        this.writeValue(row, index)
      } else if (nullable) writer.byte(0)
      else throw refuseIn(new Refusal('it is NULL, but the column was NOT NULL when it was captured'), columns[index]!)
    }
    const bytes = writer.position - start + this.keyEnd
    if (bytes > this.options.maxImageBytes) throw this.tooLarge(`${bytes} bytes encoded`)
  }

  private writeValue(row: TextRow, index: number): void {
    const { buffer, starts, ends } = row
    try {
      this.valueWriters[index]!(this.writer, buffer, starts[index]!, ends[index]!)
    } catch (error) {
      if (error instanceof Refusal) refuseIn(error, this.columns[index]!)
      throw error
    }
  }

  private tooLarge(size: string): Refusal {
    return new Refusal(`the row has ${size}, more than the ${this.options.maxImageBytes} that fit into a record`)
  }
}

function valueWriter(column: Column): ValueWriter {
  return column.encoding === 'decimal' ? decimalWriter(column.scale!) : valueWriters[column.encoding]
}

function refuseIn(refusal: Refusal, column: Column): Refusal {
  refusal.column = column.name
  return refusal
}
