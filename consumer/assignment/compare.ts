// consumer/assignment/compare: compares committed offsets with the changelogs in ClickHouse. The
// changelogs decide.
// Runs at each new assignment, before any insert.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { currentName } from '../../clickhouse/ddl.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { readRange } from '../../kafka/consumer/read-range.ts'
import { type BatchWriter, learnSchemas } from '../insert/apply.ts'
import { type Gap, type HeldRecords, type LastRow, readGaps, readHeldRecords, readLast } from '../insert/changelog.ts'
import { insertSlices, refuseUnstorable } from '../insert/insert.ts'
import { restoreDerived, restoreTombstones } from '../insert/recover.ts'
import { requireNothingBefore } from '../insert/truncate.ts'
import type { Progress } from '../records/insert-intent.ts'
import { countRecords, ownRuns, partitionKey, type Slice, slicesBelow } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'
import { markUncertain } from '../warehouse/uncertain.ts'
import type { ConsumerContext, PartitionProgress } from './assignment.ts'
import { confirmRecords } from './confirm.ts'

/** The progress of a partition according to its changelog. */
export interface ComparedPartition {
  readonly progress: PartitionProgress
  /** The last record in the changelog. */
  readonly last: LastRow | undefined
  /** How the changelog differs from the committed offset; undefined when it does not. */
  readonly mismatch: string | undefined
  /** Aggregates may differ from the tables because of the mismatch. */
  readonly isUncertain: boolean
}

interface CompareOptions {
  /** The present run of the ClickHouse server. */
  readonly server: string
  readonly signal: AbortSignal
}

interface Found {
  readonly progress: Progress
  readonly table: TargetTable
  readonly held: HeldRecords | undefined
  readonly last: LastRow | undefined
}

/**
 * Finds where each partition continues. No batch of the partitions may be open. The changelog
 * decides, so an offset that was deleted or moved, in Kafka or by hand, does not matter. The
 * consumer inserts rows again that ClickHouse lost when its host lost power, which are at most a
 * minute old. An older copy of a changelog lacks its newest rows, so the consumer continues at the
 * end of that copy.
 * @throws {MillraceError} OFFSETS_MISSING when a topic lacks records that ClickHouse holds, or
 *   records that must be inserted again; WAREHOUSE_DAMAGED for a loss that cannot be repaired
 */
export async function compareOffsets(
  context: ConsumerContext,
  progress: readonly Progress[],
  occasion: CompareOptions,
): Promise<ComparedPartition[]> {
  const { clickhouse } = context.writer.inserter
  const places = progress.map(each => {
    const { topic, partition } = each
    return { table: context.writer.tables.get(topic)!, partition, from: firstToCompare(each) }
  })
  const heldRecords = await readHeldRecords(clickhouse, places)
  const found: Found[] = []
  for (const [index, each] of progress.entries()) {
    const { table, partition, from } = places[index]!
    const held = heldRecords.get(partitionKey(each.topic, partition))
    const last = held?.last ?? (from === 0 ? undefined : await readLast(clickhouse, table.table, { partition }))
    found.push({ progress: each, table, held, last })
  }
  const inserted = found.flatMap(({ progress: { topic, partition }, last }) =>
    last ? [{ topic, partition, last }] : [],
  )
  await confirmRecords(context.reader, inserted, occasion.signal)
  const compared: ComparedPartition[] = []
  for (const each of found)
    compared.push(isAsCommitted(each) ? asCommitted(each) : await repair(context, each, occasion))
  return compared
}

/**
 * Rows below this offset were in ClickHouse for a minute before the commit, so they are on its
 * disk. Without a commit by millrace nothing is known, and the comparison begins at 0.
 */
function firstToCompare({ assignment, floor, lastOffset }: Progress): number {
  return assignment === -1 ? 0 : Math.max(0, Math.min(floor, lastOffset))
}

function isAsCommitted({ progress, held }: Found): boolean {
  if (progress.assignment === -1) return held === undefined && progress.offset === 0
  if (progress.lastOffset === -1) return held === undefined
  const { offset } = held?.last ?? { offset: -1 }
  return (
    offset === progress.lastOffset && offset < progress.offset && held!.count === offset - firstToCompare(progress) + 1
  )
}

function asCommitted({
  progress: { topic, partition, offset, lastPosition, lastOffset, floor },
  last,
}: Found): ComparedPartition {
  return {
    progress: { topic, partition, offset, lastPosition, lastOffset, floor },
    last,
    mismatch: undefined,
    isUncertain: false,
  }
}

async function repair(
  context: ConsumerContext,
  found: Found,
  { server, signal }: CompareOptions,
): Promise<ComparedPartition> {
  const { progress, table, last } = found
  const { clickhouse } = context.writer.inserter
  const { topic, partition } = progress
  const from = firstToCompare(progress)
  const to = last?.offset ?? 0
  const gaps = from < to ? await readGaps(clickhouse, table.table, { partition, from, to }) : []
  if (gaps[0] !== undefined) await restoreTombstones(context.writer.inserter, table, { partition, end: gaps[0].end })
  for (const gap of gaps) {
    await fill(context, { topic, partition, table, server, gap }, signal)
  }
  const isKept =
    progress.assignment !== -1 && (last?.offset ?? -1) === progress.lastOffset && progress.lastOffset < progress.offset
  if (isKept) return asCommitted(found)
  const applied = await afterLast(clickhouse, found)
  const isUncertain = last !== undefined || (await isInCurrent(clickhouse, table, partition))
  return { progress: applied, last, mismatch: describe(found), isUncertain }
}

function describe({ progress: { assignment, lastOffset: expected }, last }: Found): string {
  if (assignment === -1) return 'the offset was deleted, or moved by another program'
  return (last?.offset ?? -1) > expected
    ? 'ClickHouse holds more than was committed'
    : 'ClickHouse has lost records that were inserted'
}

/**
 * A TRUNCATE at the end is applied again, because it may be incomplete. Applying it again adds only
 * missing rows.
 */
async function afterLast(
  clickhouse: Clickhouse,
  { progress: { topic, partition }, table, last }: Found,
): Promise<PartitionProgress> {
  const before = last?.isTruncate ? await readLast(clickhouse, table.table, { partition, below: last.offset }) : last
  const offset = last === undefined ? 0 : last.isTruncate ? last.offset : last.offset + 1
  return { topic, partition, offset, lastPosition: before?.position, lastOffset: before?.offset ?? -1, floor: offset }
}

async function isInCurrent(clickhouse: Clickhouse, { table }: TargetTable, partition: number): Promise<boolean> {
  const rows = await clickhouse.rows(
    `SELECT 1 FROM ${quoteName(currentName(table))} WHERE _partition = ${partition} LIMIT 1`,
  )
  return rows.length > 0
}

interface GapToFill {
  readonly topic: string
  readonly partition: number
  readonly table: TargetTable
  readonly server: string
  readonly gap: Gap
}

/** Inserts the records of the topic that the changelog lacks. */
async function fill(context: ConsumerContext, filling: GapToFill, signal: AbortSignal): Promise<void> {
  const { topic, partition, table, server, gap } = filling
  const { writer, reader } = context
  let { start: fromOffset, before } = gap
  for await (const records of readRange(reader, { topic, partition, start: fromOffset, end: gap.end }, signal)) {
    const fetched = { topic, partition, records, fromOffset, end: gap.end }
    fromOffset = records.nextOffset
    await learnSchemas(writer, [fetched], signal)
    for (const slice of slicesBelow(fetched, table.envelope, { end: gap.end, before })) {
      before = slice.lastPosition
      if (slice.truncate)
        await requireNothingBefore(writer.inserter.clickhouse, table.table, { partition, offset: slice.end - 1 })
      else await insertAgain(writer, { table, slice, server })
    }
  }
}

async function insertAgain(
  writer: BatchWriter,
  { table, slice, server }: { table: TargetTable; slice: Slice; server: string },
): Promise<void> {
  const own = await refuseUnstorable(writer.inserter, table, ownRuns(slice))
  if (own.length === 0) return
  await markUncertain(writer, `ClickHouse had lost records of ${table.topic}`)
  const inserted = await insertSlices(writer.inserter, table, own, server)
  await restoreDerived(writer.inserter, table, slice)
  const { topic, partition, start } = slice
  const records = countRecords(inserted)
  writer.log.warn('records that ClickHouse had lost are inserted again', { topic, partition, start, records })
}
