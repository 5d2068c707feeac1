// consumer/insert/isolate: what of a refused insert ClickHouse cannot store, told without storing anything.

import { tableName } from '../../contract/table.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { halfOf, type Image, imagesOf } from '../records/images.ts'
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
  /** What remains of the slices: other records, and the other images of these. */
  readonly rest: readonly Slice[]
}

/** So many records may be at fault themselves, one after the other; when it is more, something else is. */
export const mostRefused = 20

/**
 * Tries the insert on the bare table, whole and in halves, so that nothing is stored twice whatever is found. Whether an image can be
 * stored depends on the image alone. So what was set aside when it came to be is set aside again when it ceases to be, and no sum is wrong
 * for it.
 * @returns undefined when the table can store all of it
 * @throws {MillraceError} CLICKHOUSE_FAILED when too much is refused for the records to be at fault
 */
export async function isolate(insert: TriedInsert): Promise<Isolated | undefined> {
  return withTrial(insert, async trial => {
    const error = await trial.fails(insert.slices)
    if (error === undefined) return undefined
    const records = await findRefused(trial, insert.slices, mostRefused)
    const isAll = records.length === countRecords(insert.slices)
    if (records.length === 0 || records.length > mostRefused || (isAll && (await trial.fails([])) !== undefined))
      throw notTheRecords(error)
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
      const alone = images.length === 1 ? record : halfOf(record, image, envelope)
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
    next: `mend what the message names in ClickHouse; tables.${tableName(table)}.onError: dead-letter moves such rows to the dead-letter topic`,
    cause: error,
  })
}

export function notTheRecords(error: MillraceError): MillraceError {
  return new MillraceError('CLICKHOUSE_FAILED', {
    what: `ClickHouse refuses so much of a table that its records are hardly at fault: ${error.message}`,
    ...(error.where === undefined ? {} : { where: error.where }),
    next: 'look whether the changelog that the statement names was changed by hand, or whether this version of ClickHouse is one that millrace supports; mend that and start again, nothing was set aside',
    cause: error,
  })
}
