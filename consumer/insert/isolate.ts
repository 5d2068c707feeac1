// consumer/insert/isolate: finds the records of a refused insert that ClickHouse cannot store,
// without storing anything.

import { tableName } from '../../contract/table.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { type Image, imageRecord, imagesOf } from '../records/images.ts'
import { countRecords, type Slice, withoutOffsets } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'
import { findRefused, type Trial, type TriedInsert, withTrial } from './trial.ts'

/** An image of a record that cannot be stored. */
interface RefusedImage {
  readonly record: Slice
  readonly image: Image
  readonly error: MillraceError
}

export interface Isolated {
  readonly refused: readonly RefusedImage[]
  /** The rest of the slices: other records, and the other images of the refused records. */
  readonly rest: readonly Slice[]
}

/** With more refused records in a row than this, the records are not the cause. */
export const mostRefused = 20

/**
 * Tries the insert on a copy of the table that stores nothing, as a whole and in halves. Whether
 * ClickHouse can store an image depends on the image alone. So the −1 of an image is refused
 * exactly when its +1 was refused, and no sum becomes wrong.
 * @returns undefined when the table can store all records
 * @throws {MillraceError} CLICKHOUSE_FAILED when ClickHouse refuses too many records
 */
export async function isolate(insert: TriedInsert): Promise<Isolated | undefined> {
  return withTrial(insert, async trial => {
    const error = await trial.fails(insert.slices)
    if (error === undefined) return undefined
    const records = await findRefused(trial, insert.slices, mostRefused)
    const isAll = records.length === countRecords(insert.slices)
    if (records.length === 0 || records.length > mostRefused || (isAll && (await trial.fails([])) !== undefined))
      throw tooManyRefused(error)
    return byImages(trial, insert, records)
  })
}

async function byImages(trial: Trial, { table, slices }: TriedInsert, records: readonly Slice[]): Promise<Isolated> {
  const { envelope } = table
  const refused: RefusedImage[] = []
  const halves: Slice[] = []
  for (const record of records) {
    const images = imagesOf(record, envelope)
    for (const image of images) {
      const alone = images.length === 1 ? record : imageRecord(record, image, envelope)
      const error = await trial.fails([alone])
      if (error === undefined) halves.push(alone)
      else refused.push({ record, image, error: refusedImage(table, { record, image, error }) })
    }
  }
  const offsets = (partition: number) =>
    new Set(records.filter(each => each.partition === partition).map(each => each.records.offsets[each.from]!))
  const others = slices.flatMap(slice => withoutOffsets(slice, offsets(slice.partition)))
  return { refused, rest: [...others, ...halves] }
}

function refusedImage({ topic, table }: TargetTable, { record, image, error }: RefusedImage): MillraceError {
  const { partition, records, from } = record
  return new MillraceError('CLICKHOUSE_REFUSED', {
    what: `${image === 'before' ? 'the old row' : 'the new row'} of the record: ${error.message}`,
    where: `topic ${topic}, partition ${partition}, offset ${records.offsets[from]}`,
    next: `correct what the message names in ClickHouse; tables.${tableName(table)}.onError: dead-letter moves such rows to the dead-letter topic`,
    cause: error,
  })
}

export function tooManyRefused(error: MillraceError): MillraceError {
  return new MillraceError('CLICKHOUSE_FAILED', {
    what: `ClickHouse refuses too many records of a table, so the records are not the cause: ${error.message}`,
    ...(error.where === undefined ? {} : { where: error.where }),
    next: 'look whether the changelog that the statement names was changed by hand, or whether millrace supports this version of ClickHouse; correct that and start again; no dead letter was written for these records',
    cause: error,
  })
}
