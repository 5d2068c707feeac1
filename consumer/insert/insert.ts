// consumer/insert/insert: inserts the records of one table's slices into its changelog, each
// exactly once.

import { createHash } from 'node:crypto'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { insertSettings } from '../../clickhouse/insert.ts'
import { readHead, readSchemaId } from '../../contract/head.ts'
import { tableName } from '../../contract/table.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Image } from '../records/images.ts'
import { sendRecords } from '../records/send.ts'
import { countRecords, type Slice } from '../records/slice.ts'
import type { RecordFormat, TargetTable } from '../records/tables.ts'
import { isolate, mostRefused, tooManyRefused } from './isolate.ts'
import { requireUnpassed, retractAll } from './truncate.ts'
import { viewFailure } from './view-failure.ts'

/** A slice of one record, and why the record, or one image of it, cannot be inserted. */
export interface Refused {
  readonly record: Slice
  readonly image?: Image
  readonly error: MillraceError
}

/**
 * Writes records of a table to the dead-letter topic. Resolves when they are durable, each once.
 * Throws when the table's `onError` is `stop`.
 */
export type RefusedHandler = (table: TargetTable, refused: readonly Refused[]) => Promise<void>

export interface Inserter {
  /** The query ids of its statements begin with `insertQueryPrefix(database)`. */
  readonly clickhouse: Clickhouse
  /**
   * The generation's database. It is part of every token, so tokens of a rebuilt database are
   * different.
   */
  readonly database: string
  readonly onRefused: RefusedHandler
  /**
   * Called right before each insert.
   * @throws {MillraceError} FENCED when another member may own the partitions
   */
  requireOwnership(): void
  /**
   * The run of the ClickHouse server that the current work requires; undefined before it is known.
   */
  server: string | undefined
}

/** Prefix of the query ids of all inserts into a generation's database. */
export function insertQueryPrefix(database: string): string {
  return `fold-${database}-`
}

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
 * Their order is part of the token: see `inOrder`.
 * @returns the inserted slices
 */
export async function insertSlices(
  inserter: Inserter,
  table: TargetTable,
  slices: readonly Slice[],
  attempt = '',
): Promise<Slice[]> {
  const inserted: Slice[] = []
  for (const [format, part] of byFormat(table, slices)) {
    inserted.push(...(await insertOrIsolate(inserter, { table, format, attempt }, part)))
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
  /** Distinguishes the tokens of a repetition; empty for the first attempt. */
  readonly attempt: string
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
    if (isolated === undefined) throw await viewFailure(insert, error)
    const { refused, rest } = isolated
    table.refusedInARow += refused.length
    if (table.refusedInARow > mostRefused) throw tooManyRefused(error)
    if (refused.length > 0) await inserter.onRefused(table, refused)
    return rest.length === 0 ? [] : insertOrIsolate(inserter, target, rest)
  }
}

async function insertWhole(
  inserter: Inserter,
  { table, format, attempt }: Target,
  slices: readonly Slice[],
): Promise<void> {
  const token = `${tokenOf(inserter.database, table.topic, slices)}${attempt}`
  const settings = insertSettings(token, countRecords(slices))
  inserter.requireOwnership()
  await sendRecords(inserter.clickhouse, format.container, { statement: format.statement, settings }, slices)
}

async function truncate(inserter: Inserter, { table }: TargetTable, slice: Slice): Promise<void> {
  const { partition, records, from } = slice
  const head = readHead(records.buffer, records.valueStarts[from]!, records.valueEnds[from]!)
  const record = { partition, offset: records.offsets[from]!, head }
  await requireUnpassed(inserter.clickhouse, table, record)
  inserter.requireOwnership()
  await retractAll(inserter.clickhouse, table, record)
}

/** Depends on the records alone, so every repetition of the insert has the same token. */
function tokenOf(database: string, topic: string, slices: readonly Slice[]): string {
  const ranges = slices.map(
    ({ partition, records, from, to, image = '' }) =>
      `${partition}:${records.offsets[from]}-${records.offsets[to - 1]}#${to - from}${image}`,
  )
  return createHash('sha256')
    .update(`${database}\n${topic}\n${ranges.join('\n')}`)
    .digest('hex')
}

function foreignRecord(table: TargetTable, partition: number, { offset, why }: { offset: number; why: string }) {
  return new MillraceError('RECORD_UNREADABLE', {
    what: `the record was not written by millrace for ${tableName(table.table)}: ${why}`,
    where: `topic ${table.topic}, partition ${partition}, offset ${offset}`,
    next: `find the program that writes to this topic, and stop it; tables.${tableName(table.table)}.onError: dead-letter moves such records to the dead-letter topic`,
  })
}
