// producer/write/table-writer: encodes a table's rows, chooses their partitions, and drops
// duplicates.

import type { AvroWriter } from '../../contract/avro-writer.ts'
import { type Change, Encoder, type TextRow } from '../../contract/encode.ts'
import { comparePositions, formatLsn, type Position } from '../../contract/position.ts'
import { otherHistoryRemedy } from '../../postgres/replication/history.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { CapturedTable } from '../capture/captured-table.ts'
import { RowMasker } from '../capture/column-policy.ts'
import { partitionOf } from '../capture/partition.ts'

/** Appends a record to Kafka. A start of −1 means null. */
export interface RecordAppender {
  append(
    topicIndex: number,
    partition: number,
    source: Buffer,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): void
}

export interface TableWriterOptions {
  readonly captured: CapturedTable
  readonly topic: string
  /** Index of the topic in the Kafka producer. */
  readonly topicIndex: number
  readonly schemaIds: { readonly key: number; readonly value: number }
  readonly maxRecordBytes: number
  /** Position of the last record of each partition; undefined where there is none. */
  readonly lastPositions: readonly (Position | undefined)[]
  /** LSN of the last TRUNCATE that an earlier stream has sent. */
  readonly truncatedAt?: number | undefined
  /** Every change committed before this LSN is in the topics, by the last watermark. */
  readonly durable: number
  readonly appender: RecordAppender
  readonly writer: AvroWriter
}

/** Room in a record and its batch for headers, envelope and names. */
const overheadBytes = 1024

export class TableWriter {
  readonly captured: CapturedTable
  /** Records appended so far. */
  records = 0
  /** Records that were dropped, because their partition already had them. */
  duplicates = 0
  /** LSN of the table's last TRUNCATE, of this stream or an earlier one; 0 without one. */
  truncatedAt: number
  readonly #options: TableWriterOptions
  readonly #encoder: Encoder

  constructor(options: TableWriterOptions) {
    const { captured, schemaIds, maxRecordBytes, writer, truncatedAt = 0 } = options
    this.captured = captured
    this.truncatedAt = truncatedAt
    this.#options = options
    const maxImageBytes = maxRecordBytes - overheadBytes
    const { table } = captured
    this.#encoder = new Encoder(
      { table, keySchemaId: schemaIds.key, valueSchemaId: schemaIds.value, maxImageBytes },
      writer,
    )
  }

  /**
   * The masker of rows with these columns; undefined for a table that is sent unchanged.
   * @param names of the source's columns, in the order of its rows' values
   */
  masker(names: readonly string[]): RowMasker | undefined {
    const { guard, columns } = this.captured
    return guard && new RowMasker({ ...guard, sourceIndexes: columns.map(({ name }) => names.indexOf(name)) })
  }

  /**
   * Appends the record of a row's change, unless its partition has it already. With two images,
   * both must have the same identity. Whether a row is refused never depends on the records that
   * exist, so each attempt makes the same row a dead letter.
   * @returns false, with nothing appended, when both images together are too large for one record
   * @throws {Refusal} when an image cannot be represented
   * @throws {MillraceError} SOURCE_WENT_BACK for a change that its partition should have and has
   *   not
   */
  write(change: Change, before: TextRow | undefined, after: TextRow | undefined): boolean {
    const encoder = this.#encoder
    encoder.encode(change, before, after)
    if (before && after && encoder.valueEnd > this.#options.maxRecordBytes - overheadBytes) return false
    const { partitionColumns, partitions } = this.captured
    this.#append(change, partitionOf((after ?? before)!, partitionColumns, partitions), 0)
    return true
  }

  /** Appends a truncate to every partition. Its key is null. */
  truncate(change: Change): void {
    this.truncatedAt = Math.max(this.truncatedAt, change.lsn)
    this.#encoder.encode(change, undefined, undefined)
    for (let partition = 0; partition < this.captured.partitions; partition++) this.#append(change, partition, -1)
  }

  #append(change: Position, partition: number, keyStart: number): void {
    const { lastPositions, durable, appender, topicIndex } = this.#options
    const last = lastPositions[partition]
    if (last !== undefined && comparePositions(change, last) <= 0) {
      this.duplicates++
      return
    }
    if (change.lsn < durable) throw this.#unknown(change, partition, last)
    const { writer, keyEnd, valueEnd } = this.#encoder
    appender.append(topicIndex, partition, writer.buffer, keyStart, keyEnd, keyEnd, valueEnd)
    this.records++
  }

  #unknown(change: Position, partition: number, last: Position | undefined): MillraceError {
    const { topic, durable } = this.#options
    const found = last ? `ends with a change at LSN ${formatLsn(last.lsn)}` : 'holds no record'
    return new MillraceError('SOURCE_WENT_BACK', {
      what: `the source has a change at LSN ${formatLsn(change.lsn)} that was not captured, although everything before ${formatLsn(durable)} was: the partition ${found}`,
      where: `topic ${topic}, partition ${partition}`,
      next: otherHistoryRemedy,
    })
  }
}
