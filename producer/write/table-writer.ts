// producer/write/table-writer: a table's rows on their way into its topic: encoded, given a partition, and dropped when already there.

import type { AvroWriter } from '../../contract/avro-writer.ts'
import { type Change, Encoder, type TextRow } from '../../contract/encode.ts'
import { comparePositions, formatLsn, type Position } from '../../contract/position.ts'
import { otherHistoryRemedy } from '../../postgres/replication/history.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { CapturedTable } from '../capture/captured-table.ts'
import { RowMasker } from '../capture/column-policy.ts'
import { partitionOf } from '../capture/partition.ts'

/** The part of the sink that takes records; a start of −1 is null. */
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
  /** Its index in the sink. */
  readonly topicIndex: number
  readonly schemaIds: { readonly key: number; readonly value: number }
  readonly maxRecordBytes: number
  /** Position of the last record of each partition; undefined where there is none. */
  readonly lastPositions: readonly (Position | undefined)[]
  /** LSN of the last TRUNCATE that an earlier stream has told. */
  readonly truncatedAt?: number | undefined
  /** Every change committed before it stands in the topics, as the last watermark says. */
  readonly durable: number
  readonly appender: RecordAppender
  readonly writer: AvroWriter
}

/** Room in a record and its batch for everything beside the images: headers, envelope and names. */
const overheadBytes = 1024

export class TableWriter {
  readonly captured: CapturedTable
  /** Records appended so far. */
  records = 0
  /** Records left out because their partition had them. */
  duplicates = 0
  /** LSN of the last TRUNCATE of the table, whether its records were appended now or earlier; 0 without one. */
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
   * What rows have to pass before they may be written, when they come with these columns; undefined for a table that leaves as it is.
   * @param names of the source's columns, in the order in which its rows have them
   */
  masker(names: readonly string[]): RowMasker | undefined {
    const { guard, columns } = this.captured
    return guard && new RowMasker({ ...guard, sourceIndexes: columns.map(({ name }) => names.indexOf(name)) })
  }

  /**
   * Appends the record of a row's change, unless its partition has it. With both images the identity must be the same in both.
   * Whether a row is refused never depends on what is there already, so each attempt makes the same row a dead letter.
   * @returns false, with nothing appended, when both images together are too large for one record
   * @throws {Refusal} when an image cannot be represented
   * @throws {MillraceError} SOURCE_WENT_BACK for a change that its partition should have and has not
   */
  write(change: Change, before: TextRow | undefined, after: TextRow | undefined): boolean {
    const encoder = this.#encoder
    encoder.encode(change, before, after)
    if (before && after && encoder.valueEnd > this.#options.maxRecordBytes - overheadBytes) return false
    const { partitionColumns, partitions } = this.captured
    this.#append(change, partitionOf((after ?? before)!, partitionColumns, partitions), 0)
    return true
  }

  /** Appends a truncate to every partition; its key is null. */
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
