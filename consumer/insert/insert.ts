// consumer/insert/insert: the records of one table's slices into its changelog, each exactly once.

import { createHash } from 'node:crypto'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { insertSettings } from '../../clickhouse/insert.ts'
import { readHead } from '../../contract/head.ts'
import { tableName } from '../../contract/table.ts'
import { readSchemaId } from '../../contract/wire.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Image } from '../records/images.ts'
import { sendRecords } from '../records/send.ts'
import { countRecords, type Slice } from '../records/slice.ts'
import type { RecordFormat, TargetTable } from '../records/tables.ts'
import { isolate, mostRefused, notTheRecords } from './isolate.ts'
import { requireUnpassed, retractAll } from './truncate.ts'
import { viewFailure } from './view-failure.ts'

/** A slice of one record, and why it, or one image of it, cannot be inserted. */
export interface Refused {
  readonly record: Slice
  readonly image?: Image
  readonly error: MillraceError
}

/** Sets records of a table aside; resolves when they are durable, each of them once. Throws when the table's policy is to stop. */
export type SetAside = (table: TargetTable, refused: readonly Refused[]) => Promise<void>

export interface Inserter {
  /** Its statements' query ids begin with `foldQueries` of the database. */
  readonly clickhouse: Clickhouse
  /** Generation's database: part of every token, so that a rebuild beside it never collides. */
  readonly database: string
  readonly setAside: SetAside
  /** Asked right before each insert: somebody else may have the partitions by now. @throws {MillraceError} FENCED */
  requireOwnership(): void
  /** The run of ClickHouse that what is being done counts on; undefined before it is known. */
  server: string | undefined
}

/** Beginning of the query ids of whoever folds into a generation's database. */
export function foldQueries(database: string): string {
  return `fold-${database}-`
}

/** Sets aside what the slices hold besides records of the table. */
export async function setAsideForeign(
  { setAside }: Inserter,
  table: TargetTable,
  slices: readonly Slice[],
): Promise<void> {
  const refused = slices.flatMap(slice =>
    [...slice.foreign].map(([index, why]) => ({
      record: { ...slice, from: index, to: index + 1 },
      error: foreignRecord(table, slice.partition, { offset: slice.records.offsets[index]!, why }),
    })),
  )
  if (refused.length > 0) await setAside(table, refused)
}

/**
 * Sets aside what the table cannot store, before any of the slices is inserted: records that are not there for that are not missing.
 * @returns what it can store of the slices, in which there is no truncate
 */
export async function setAsideRefused(
  { clickhouse, setAside }: Inserter,
  table: TargetTable,
  slices: readonly Slice[],
): Promise<Slice[]> {
  const storable: Slice[] = []
  for (const [format, part] of byFormat(table, slices)) {
    const isolated = await isolate({ clickhouse, table, format, slices: part })
    if (isolated !== undefined) await setAside(table, isolated.refused)
    storable.push(...(isolated?.rest ?? part))
  }
  return storable
}

/**
 * Slices of one table with records of ours only, truncates included. Their order is part of the token: see `inOrder`.
 * @returns what was inserted of them
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

/** Records of each schema apart, because a container has one. */
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
  /** Distinguishes a repetition after a token was lost; empty for the first. */
  readonly attempt: string
}

/** Inserts the slices whole, or without what ClickHouse cannot store, which is set aside. @returns what was inserted */
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
    if (table.refusedInARow > mostRefused) throw notTheRecords(error)
    if (refused.length > 0) await inserter.setAside(table, refused)
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

/** A function of the records alone: whoever repeats the insert names it alike. */
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
    next: `find out who else writes to this topic, and stop that; tables.${tableName(table.table)}.onError: dead-letter moves such records to the dead-letter topic`,
  })
}
