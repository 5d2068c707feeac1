// consumer/assignment/compare: compares committed offsets with the changelogs in ClickHouse. The
// changelogs decide.
// Runs at each new assignment, before any insert.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { readRange } from '../../kafka/consumer/read-range.ts'
import { type BatchWriter, learnSchemas } from '../insert/apply.ts'
import {
  type Gap,
  type LastRow,
  readGaps,
  readLast,
  readStoredRecords,
  type StoredRecords,
} from '../insert/changelog.ts'
import { insertSlices, refuseUnstorable } from '../insert/insert.ts'
import { restoreDerived, restoreTombstones } from '../insert/recover.ts'
import { requireNothingBefore } from '../insert/truncate.ts'
import type { Progress } from '../records/progress.ts'
import { countRecords, ownRuns, partitionKey, type Slice, slicesBelow } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'
import type { Epoch } from '../warehouse/epoch.ts'
import type { ConsumerContext, PartitionProgress } from './assignment.ts'
import { confirmRecords } from './confirm.ts'

/** The progress of a partition according to its changelog. */
export interface ComparedPartition {
  readonly topic: string
  readonly partition: number
  readonly progress: PartitionProgress
  /** The last record in the changelog. */
  readonly last: LastRow | undefined
  /** Why the partition does not continue at or after its committed offset. */
  readonly mismatch: string | undefined
}

interface CompareOptions {
  readonly epoch: Epoch
  readonly signal: AbortSignal
}

interface Found {
  readonly progress: Progress
  readonly table: TargetTable
  readonly stored: StoredRecords | undefined
  readonly last: LastRow | undefined
}

/**
 * Finds where each partition continues. The changelog decides, so an offset that was deleted or
 * moved, in Kafka or by hand, does not matter. The consumer inserts rows again that ClickHouse lost
 * when its host lost power, which are at most a minute old. An older copy of a changelog lacks its
 * newest rows, so the consumer continues at the end of that copy. Afterwards current states and
 * histories contain everything that the changelogs contain.
 * @throws {MillraceError} OFFSETS_MISSING when a topic lacks records that ClickHouse has, or
 *   records that must be inserted again; WAREHOUSE_DAMAGED for a loss that cannot be repaired
 */
export async function compareOffsets(
  context: ConsumerContext,
  progress: readonly Progress[],
  { epoch, signal }: CompareOptions,
): Promise<ComparedPartition[]> {
  const { clickhouse } = context.writer.inserter
  const places = progress.map(each => {
    const { topic, partition } = each
    return { table: context.writer.tables.get(topic)!, partition, from: firstToCompare(each) }
  })
  const storedRecords = await readStoredRecords(clickhouse, places)
  const found: Found[] = []
  for (const [index, each] of progress.entries()) {
    const { table, partition, from } = places[index]!
    const stored = storedRecords.get(partitionKey(each.topic, partition))
    const last = stored?.last ?? (from === 0 ? undefined : await readLast(clickhouse, table.table, { partition }))
    found.push({ progress: each, table, stored, last })
  }
  const inserted = found.flatMap(({ progress: { topic, partition }, last }) =>
    last ? [{ topic, partition, last }] : [],
  )
  await confirmRecords(context.reader, inserted, signal)
  await restoreNewest(context.writer, found, epoch)
  const compared: ComparedPartition[] = []
  for (const each of found) {
    if (hasGaps(each)) await fillGaps(context, each, signal)
    compared.push(await continueFrom(clickhouse, each, epoch))
  }
  return compared
}

/**
 * Rows below this offset were in ClickHouse for a minute before the commit, so they are on its
 * disk. Without a commit by millrace nothing is known, and the comparison begins at 0.
 */
function firstToCompare({ epoch, floor, lastOffset }: Progress): number {
  return epoch === undefined ? 0 : Math.max(0, Math.min(floor, lastOffset))
}

/**
 * An insert writes the changelog first. If it was interrupted, the current state may lack its rows.
 * Rows of earlier inserts can be lost only with a restart of the server.
 */
async function restoreNewest({ inserter }: BatchWriter, found: readonly Found[], epoch: Epoch): Promise<void> {
  const ranges = new Map<TargetTable, { partition: number; start: number; end: number }[]>()
  for (const { progress, table, last } of found) {
    const start = isSameRun(progress, epoch) ? progress.offset : firstToCompare(progress)
    if (last === undefined || last.offset < start) continue
    const range = { partition: progress.partition, start, end: last.offset + 1 }
    ranges.set(table, [...(ranges.get(table) ?? []), range])
  }
  for (const [table, own] of ranges) await restoreDerived(inserter, table, own)
}

/** Whether the server has run since the commit without a restart. */
function isSameRun({ epoch }: Progress, { sinceStart }: Epoch): boolean {
  return epoch !== undefined && sinceStart.has(epoch)
}

function hasGaps({ progress, stored }: Found): boolean {
  return stored !== undefined && stored.count !== stored.last.offset - firstToCompare(progress) + 1
}

async function fillGaps(context: ConsumerContext, found: Found, signal: AbortSignal): Promise<void> {
  const { progress, table, stored } = found
  const { inserter } = context.writer
  const { topic, partition } = progress
  const range = { partition, from: firstToCompare(progress), to: stored!.last.offset }
  const gaps = await readGaps(inserter.clickhouse, table.table, range)
  if (gaps[0] !== undefined) await restoreTombstones(inserter, table, { partition, end: gaps[0].end })
  for (const gap of gaps) await fill(context, { topic, partition, table, gap }, signal)
}

async function continueFrom(clickhouse: Clickhouse, found: Found, current: Epoch): Promise<ComparedPartition> {
  const { topic, partition, offset, lastPosition, lastOffset, floor, epoch } = found.progress
  const { last } = found
  const end = last?.offset ?? -1
  // A restarted server may have lost some images of a TRUNCATE, which all have one offset.
  const isPartial = last?.isTruncate && !isSameRun(found.progress, current)
  const isKept = epoch !== undefined && end >= lastOffset && end < offset && !isPartial
  const progress = isKept ? { offset, lastPosition, lastOffset: end, floor } : await afterLast(clickhouse, found)
  return { topic, partition, progress, last, mismatch: isKept ? undefined : mismatchOf(found) }
}

function mismatchOf({ progress: { epoch, offset, lastOffset }, last }: Found): string | undefined {
  if (epoch === undefined) {
    const isNew = offset === 0 && last === undefined
    return isNew ? undefined : 'the offset was deleted, or moved by another program'
  }
  return (last?.offset ?? -1) < lastOffset ? 'ClickHouse has lost records that were inserted' : undefined
}

/**
 * A TRUNCATE at the end is applied again, because it may be incomplete. Applying it again adds only
 * missing rows.
 */
async function afterLast(
  clickhouse: Clickhouse,
  { progress: { partition, floor }, table, last }: Found,
): Promise<PartitionProgress> {
  const before = last?.isTruncate ? await readLast(clickhouse, table.table, { partition, below: last.offset }) : last
  const offset = last === undefined ? 0 : last.isTruncate ? last.offset : last.offset + 1
  return { offset, lastPosition: before?.position, lastOffset: before?.offset ?? -1, floor: Math.min(floor, offset) }
}

interface GapToFill {
  readonly topic: string
  readonly partition: number
  readonly table: TargetTable
  readonly gap: Gap
}

/** Inserts the records of the topic that the changelog lacks. */
async function fill(context: ConsumerContext, filling: GapToFill, signal: AbortSignal): Promise<void> {
  const { topic, partition, table, gap } = filling
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
      else await insertAgain(writer, table, slice)
    }
  }
}

async function insertAgain(writer: BatchWriter, table: TargetTable, slice: Slice): Promise<void> {
  const own = await refuseUnstorable(writer.inserter, table, ownRuns(slice))
  if (own.length === 0) return
  const inserted = await insertSlices(writer.inserter, table, own)
  const { topic, partition, start } = slice
  const records = countRecords(inserted)
  writer.log.warn('records that ClickHouse had lost are inserted again', { topic, partition, start, records })
}
