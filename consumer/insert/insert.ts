// consumer/insert/insert: inserts the records of one table's slices into its changelog.

import { readHead, readSchemaId } from '../../contract/head.ts'
import { tableName } from '../../contract/table.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { insertRecords } from '../records/send.ts'
import type { Slice } from '../records/slice.ts'
import type { RecordFormat, TargetTable } from '../records/tables.ts'
import { guard, type Inserter } from './inserter.ts'
import { isolate, mostRefused, tooManyRefused } from './isolate.ts'
import { requireUnpassed, retractAll } from './truncate.ts'

/** Handles the records of the slices that millrace did not write for the table. */
export async function refuseForeign(
  { onRefused }: Inserter,
  table: TargetTable,
  slices: readonly Slice[],
): Promise<void> {
  const refused = slices.flatMap(slice =>
    [...slice.foreign].map(([index, why]) => ({
      record: { ...slice, from: index, to: index + 1 },
      error: foreignRecord(table, slice.partition, { offset: slice.records.offsets[index]!, why }),
    })),
  )
  if (refused.length > 0) await onRefused(table, refused)
}

/**
 * Handles the records that the table cannot store, before any of the slices is inserted. Recovery
 * then does not take these records for lost ones. The slices contain no TRUNCATE.
 * @returns the records that the table can store
 */
export async function refuseUnstorable(
  { clickhouse, onRefused }: Inserter,
  table: TargetTable,
  slices: readonly Slice[],
): Promise<Slice[]> {
  const storable: Slice[] = []
  for (const [format, part] of byFormat(table, slices)) {
    const isolated = await isolate({ clickhouse, table, format, slices: part })
    if (isolated !== undefined) await onRefused(table, isolated.refused)
    storable.push(...(isolated?.rest ?? part))
  }
  return storable
}

/**
 * Inserts slices of one table, TRUNCATE records included. The slices contain no foreign records.
 * @returns the inserted slices
 * @throws {MillraceError} FENCED when another member may have taken over
 */
export async function insertSlices(inserter: Inserter, table: TargetTable, slices: readonly Slice[]): Promise<Slice[]> {
  const inserted: Slice[] = []
  for (const [format, part] of byFormat(table, slices)) {
    inserted.push(...(await insertOrIsolate(inserter, { table, format }, part)))
  }
  for (const slice of slices) {
    if (!slice.truncate) continue
    await truncate(inserter, table, slice)
    inserted.push(slice)
  }
  return inserted
}

/** The slices by schema, because an Avro file has one schema. */
function byFormat(table: TargetTable, slices: readonly Slice[]): Map<RecordFormat, Slice[]> {
  const parts = new Map<RecordFormat, Slice[]>()
  for (const slice of slices) {
    if (slice.truncate) continue
    let { from } = slice
    while (from < slice.to) {
      const id = schemaIdAt(slice, from)
      let to = from + 1
      while (to < slice.to && schemaIdAt(slice, to) === id) to++
      const format = table.format(id)
      parts.set(format, [...(parts.get(format) ?? []), { ...slice, from, to }])
      from = to
    }
  }
  return parts
}

function schemaIdAt({ records }: Slice, index: number): number {
  return readSchemaId(records.buffer, records.valueStarts[index]!, records.valueEnds[index]!)
}

interface Target {
  readonly table: TargetTable
  readonly format: RecordFormat
}

/**
 * Inserts the slices. Records that ClickHouse cannot store become dead letters, and the others are
 * inserted.
 * @returns the inserted slices
 */
async function insertOrIsolate(
  inserter: Inserter,
  target: Target,
  slices: readonly Slice[],
): Promise<readonly Slice[]> {
  const { table, format } = target
  const { clickhouse } = inserter
  try {
    await insertWhole(inserter, target, slices)
    table.refusedInARow = 0
    return slices
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'CLICKHOUSE_REFUSED') throw error
    const insert = { clickhouse, table, format, slices }
    const isolated = await isolate(insert)
    if (isolated === undefined) throw behindTable(error)
    const { refused, rest } = isolated
    table.refusedInARow += refused.length
    if (table.refusedInARow > mostRefused) throw tooManyRefused(error)
    if (refused.length > 0) await inserter.onRefused(table, refused)
    return rest.length === 0 ? [] : insertOrIsolate(inserter, target, rest)
  }
}

async function insertWhole(inserter: Inserter, { format }: Target, slices: readonly Slice[]): Promise<void> {
  inserter.requireOwnership()
  await insertRecords(inserter.clickhouse, format, { slices, guard: guard(inserter) })
}

async function truncate(inserter: Inserter, { table }: TargetTable, slice: Slice): Promise<void> {
  const { partition, records, from } = slice
  const head = readHead(records.buffer, records.valueStarts[from]!, records.valueEnds[from]!)
  const record = { partition, offset: records.offsets[from]!, head }
  await requireUnpassed(inserter, table, record)
  inserter.requireOwnership()
  await retractAll(inserter, table, record)
}

/** The table can store the records, so something that reads its inserts cannot. */
function behindTable(error: MillraceError): MillraceError {
  return new MillraceError('CLICKHOUSE_FAILED', {
    what: `a materialized view behind the changelog fails on records that the changelog can store: ${error.message}`,
    ...(error.where === undefined ? {} : { where: error.where }),
    next: 'correct or drop the view that the message names, then start again; a model of millrace needs no materialized view',
    cause: error,
  })
}

function foreignRecord(table: TargetTable, partition: number, { offset, why }: { offset: number; why: string }) {
  return new MillraceError('RECORD_UNREADABLE', {
    what: `the record was not written by millrace for ${tableName(table.table)}: ${why}`,
    where: `topic ${table.topic}, partition ${partition}, offset ${offset}`,
    next: `find the program that writes to this topic, and stop it; tables.${tableName(table.table)}.onError: dead-letter moves such records to the dead-letter topic`,
  })
}
