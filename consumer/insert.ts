// consumer/insert: the records of one table's slices into its changelog, each exactly once.
// May know: contract, clickhouse, consumer/{slice,tables}.

import { createHash } from 'node:crypto'
import type { Clickhouse } from '../clickhouse/client.ts'
import { insertSettings } from '../clickhouse/insert.ts'
import { readHead } from '../contract/head.ts'
import { readSchemaId, wireHeaderBytes } from '../contract/wire.ts'
import { MillraceError } from '../runtime/errors.ts'
import { countRecords, halve, type Slice } from './slice.ts'
import type { FoldTable, RecordFormat } from './tables.ts'
import { truncateStatement } from './truncate.ts'

/** Sets one record aside; resolves when it is durable. Throws when the table's policy is to stop. */
export type DivertRecord = (table: FoldTable, record: Slice, error: MillraceError) => Promise<void>

export interface Inserter {
  /** Its statements' query ids begin with `foldQueries` of the database. */
  readonly clickhouse: Clickhouse
  /** Generation's database: part of every token, so that a rebuild beside it never collides. */
  readonly database: string
  readonly divert: DivertRecord
}

/** Beginning of the query ids of whoever folds into a generation's database. */
export function foldQueries(database: string): string {
  return `fold-${database}-`
}

/** Slices of one table, truncates included. Their order is part of the token: see `slicesOf`. */
export async function insertSlices(
  inserter: Inserter,
  table: FoldTable,
  slices: readonly Slice[],
  attempt = '',
): Promise<void> {
  const rows = slices.filter(slice => !slice.truncate)
  for (const [format, part] of await byFormat(inserter, table, rows)) {
    await insertOrIsolate(inserter, { table, format, attempt }, part)
  }
  for (const slice of slices) if (slice.truncate) await truncate(inserter, table, slice)
}

/** Records of each schema apart, because a container has one; records without a readable schema are set aside. */
async function byFormat(
  inserter: Inserter,
  table: FoldTable,
  slices: readonly Slice[],
): Promise<Map<RecordFormat, Slice[]>> {
  const parts = new Map<RecordFormat, Slice[]>()
  for (const slice of slices) {
    let from = slice.from
    while (from < slice.to) {
      const id = schemaIdAt(slice, from)
      let to = from + 1
      while (to < slice.to && schemaIdAt(slice, to) === id) to++
      const run = { ...slice, from, to }
      const format = id === -1 ? undefined : await table.format(id)
      if (format === undefined) await divertEach(inserter, table, run, unreadable(table, run, id))
      else parts.set(format, [...(parts.get(format) ?? []), run])
      from = to
    }
  }
  return parts
}

function schemaIdAt({ records }: Slice, index: number): number {
  return readSchemaId(records.buffer, records.valueStarts[index]!, records.valueEnds[index]!)
}

interface Target {
  readonly table: FoldTable
  readonly format: RecordFormat
  /** Distinguishes a repetition after a token was lost; empty for the first. */
  readonly attempt: string
}

/** Inserts the slices whole; when ClickHouse cannot store them, halves them until the record at fault stands alone. */
async function insertOrIsolate(inserter: Inserter, target: Target, slices: readonly Slice[]): Promise<void> {
  try {
    await insertWhole(inserter, target, slices)
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'CLICKHOUSE_REFUSED') throw error
    if (countRecords(slices) === 1) return inserter.divert(target.table, slices[0]!, error)
    for (const half of halve(slices)) await insertOrIsolate(inserter, target, half)
  }
}

async function insertWhole(
  inserter: Inserter,
  { table, format, attempt }: Target,
  slices: readonly Slice[],
): Promise<void> {
  const { container, statement } = format
  container.reset()
  for (const { partition, records, from, to } of slices) {
    const { buffer, offsets, valueStarts, valueEnds } = records
    for (let index = from; index < to; index++) {
      container.append(partition, offsets[index]!, buffer, valueStarts[index]! + wireHeaderBytes, valueEnds[index]!)
    }
  }
  const token = `${tokenOf(inserter.database, table.topic, slices)}${attempt}`
  await inserter.clickhouse.insert(statement, container.chunks(), insertSettings(token, container.count))
}

async function truncate(inserter: Inserter, table: FoldTable, slice: Slice): Promise<void> {
  const { partition, records, from } = slice
  const head = readHead(records.buffer, records.valueStarts[from]!, records.valueEnds[from]!)
  const offset = records.offsets[from]!
  const token = tokenOf(inserter.database, table.topic, [slice])
  await inserter.clickhouse.command(truncateStatement(table.table, { partition, offset, head }), {
    ...insertSettings(token, Number.POSITIVE_INFINITY),
    insert_deduplicate: 0,
  })
}

/** A function of the records alone: whoever repeats the insert names it alike. */
function tokenOf(database: string, topic: string, slices: readonly Slice[]): string {
  const ranges = slices.map(
    ({ partition, records, from, to }) =>
      `${partition}:${records.offsets[from]}-${records.offsets[to - 1]}#${to - from}`,
  )
  return createHash('sha256')
    .update(`${database}\n${topic}\n${ranges.join('\n')}`)
    .digest('hex')
}

async function divertEach(inserter: Inserter, table: FoldTable, run: Slice, error: MillraceError): Promise<void> {
  for (let index = run.from; index < run.to; index++)
    await inserter.divert(table, { ...run, from: index, to: index + 1 }, error)
}

function unreadable(table: FoldTable, run: Slice, schemaId: number): MillraceError {
  const what =
    schemaId === -1
      ? 'the record does not have the Confluent wire format'
      : `schema id ${schemaId} is not one of this table's`
  return new MillraceError('RECORD_UNREADABLE', {
    what,
    where: `topic ${table.topic}, partition ${run.partition}, offset ${run.records.offsets[run.from]}`,
    next: 'find out who else writes to this topic; set onRefusal: divert for the table to move such records to the dead-letter topic',
  })
}
