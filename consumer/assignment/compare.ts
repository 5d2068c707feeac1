// consumer/assignment/compare: committed offsets against what the changelogs hold, which is what counts.
// Runs at each takeover, before anything is folded.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { currentName } from '../../clickhouse/ddl.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { readRange } from '../../kafka/consumer/read-range.ts'
import { type BatchWriter, learnSchemas } from '../insert/apply.ts'
import { type Gap, type LastRow, readGaps, readLast, readTails, type Tail } from '../insert/changelog.ts'
import { insertSlices, setAsideRefused } from '../insert/insert.ts'
import { restoreDerived, restoreTombstones } from '../insert/recover.ts'
import { requireNothingBefore } from '../insert/truncate.ts'
import type { Progress } from '../records/insert-intent.ts'
import { partitionKey } from '../records/partition-key.ts'
import { countRecords, ownRuns, type Slice, slicesBelow } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'
import { markUncertain } from '../warehouse/uncertain.ts'
import type { ConsumerContext, PartitionProgress } from './assignment.ts'
import { confirmRecords } from './confirm.ts'

/** Where a partition stands by its changelog. */
export interface Compared {
  readonly progress: PartitionProgress
  /** The last record in the changelog. */
  readonly last: LastRow | undefined
  /** How that differs from what was committed; undefined when it does not. */
  readonly odd: string | undefined
  /** Aggregates may differ from the tables for it. */
  readonly isUncertain: boolean
}

interface Occasion {
  /** The present run of ClickHouse. */
  readonly server: string
  readonly signal: AbortSignal
}

interface Found {
  readonly progress: Progress
  readonly table: TargetTable
  readonly tail: Tail | undefined
  readonly last: LastRow | undefined
}

/**
 * Where each of the partitions, in which no batch is open, is to go on. Offsets that were deleted or moved, in Kafka or by hand, make no
 * difference: the changelog tells. What it has lost of its last minute, with the power of its host, is inserted again, and what it has lost
 * of its end, as an older copy of it has, is folded again.
 * @throws {MillraceError} OFFSETS_MISSING when a topic does not hold what was folded, or no longer what must be folded again;
 *   WAREHOUSE_DAMAGED for what cannot be made good
 */
export async function compareOffsets(
  context: ConsumerContext,
  progress: readonly Progress[],
  occasion: Occasion,
): Promise<Compared[]> {
  const { clickhouse } = context.writer.inserter
  const places = progress.map(each => {
    const { topic, partition } = each
    return { table: context.writer.tables.get(topic)!, partition, from: firstToLookAt(each) }
  })
  const tails = await readTails(clickhouse, places)
  const found: Found[] = []
  for (const [index, each] of progress.entries()) {
    const { table, partition, from } = places[index]!
    const tail = tails.get(partitionKey(each.topic, partition))
    const last = tail?.last ?? (from === 0 ? undefined : await readLast(clickhouse, table.table, { partition }))
    found.push({ progress: each, table, tail, last })
  }
  const folded = found.flatMap(({ progress: { topic, partition }, last }) => (last ? [{ topic, partition, last }] : []))
  await confirmRecords(context.reader, folded, occasion.signal)
  const standings: Compared[] = []
  for (const each of found)
    standings.push(isAsCommitted(each) ? asCommitted(each) : await lookInto(context, each, occasion))
  return standings
}

/** Everything below was there a minute before the commit; of what nobody has committed for us nothing is known. */
function firstToLookAt({ assignment, floor, last }: Progress): number {
  return assignment === -1 ? 0 : Math.max(0, Math.min(floor, last))
}

function isAsCommitted({ progress, tail }: Found): boolean {
  if (progress.assignment === -1) return tail === undefined && progress.offset === 0
  if (progress.last === -1) return tail === undefined
  const { offset } = tail?.last ?? { offset: -1 }
  return offset === progress.last && offset < progress.offset && tail!.held === offset - firstToLookAt(progress) + 1
}

function asCommitted({
  progress: { topic, partition, offset, reached, last: lastOffset, floor },
  last,
}: Found): Compared {
  return {
    progress: { topic, partition, offset, reached, last: lastOffset, floor },
    last,
    odd: undefined,
    isUncertain: false,
  }
}

async function lookInto(context: ConsumerContext, found: Found, { server, signal }: Occasion): Promise<Compared> {
  const { progress, table, last } = found
  const { clickhouse } = context.writer.inserter
  const { topic, partition } = progress
  const from = firstToLookAt(progress)
  const to = last?.offset ?? 0
  const gaps = from < to ? await readGaps(clickhouse, table.table, { partition, from, to }) : []
  if (gaps[0] !== undefined) await restoreTombstones(context.writer.inserter, table, { partition, end: gaps[0].end })
  for (const gap of gaps) {
    await fill(context, { topic, partition, table, server, gap }, signal)
  }
  const isKept = progress.assignment !== -1 && (last?.offset ?? -1) === progress.last && progress.last < progress.offset
  if (isKept) return asCommitted(found)
  const applied = await afterLast(clickhouse, found)
  const isUncertain = last !== undefined || (await isInCurrent(clickhouse, table, partition))
  return { progress: applied, last, odd: describe(found), isUncertain }
}

function describe({ progress: { assignment, last: expected }, last }: Found): string {
  if (assignment === -1) return 'its offset was deleted, or moved by another program'
  return (last?.offset ?? -1) > expected
    ? 'ClickHouse holds more than was committed'
    : 'ClickHouse has lost records that were folded'
}

/** A TRUNCATE is carried out again, as it may have been cut off: that adds what is missing. */
async function afterLast(
  clickhouse: Clickhouse,
  { progress: { topic, partition }, table, last }: Found,
): Promise<PartitionProgress> {
  const before = last?.isTruncate ? await readLast(clickhouse, table.table, { partition, below: last.offset }) : last
  const offset = last === undefined ? 0 : last.isTruncate ? last.offset : last.offset + 1
  return { topic, partition, offset, reached: before?.position, last: before?.offset ?? -1, floor: offset }
}

async function isInCurrent(clickhouse: Clickhouse, { table }: TargetTable, partition: number): Promise<boolean> {
  const rows = await clickhouse.rows(
    `SELECT 1 FROM ${quoteName(currentName(table))} WHERE _partition = ${partition} LIMIT 1`,
  )
  return rows.length > 0
}

interface Filling {
  readonly topic: string
  readonly partition: number
  readonly table: TargetTable
  readonly server: string
  readonly gap: Gap
}

/** Inserts what is in the topic and ought to be in the changelog. */
async function fill(context: ConsumerContext, filling: Filling, signal: AbortSignal): Promise<void> {
  const { topic, partition, table, server, gap } = filling
  const { writer, reader } = context
  let { start: fromOffset, before } = gap
  for await (const records of readRange(reader, { topic, partition, start: fromOffset, end: gap.end }, signal)) {
    const fetched = { topic, partition, records, fromOffset, end: gap.end }
    fromOffset = records.nextOffset
    await learnSchemas(writer, [fetched], signal)
    for (const slice of slicesBelow(fetched, table.envelope, { end: gap.end, before })) {
      before = slice.reached
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
  const own = await setAsideRefused(writer.inserter, table, ownRuns(slice))
  if (own.length === 0) return
  await markUncertain(writer, `ClickHouse had lost records of ${table.topic}`)
  const inserted = await insertSlices(writer.inserter, table, own, server)
  await restoreDerived(writer.inserter, table, slice)
  const { topic, partition, start } = slice
  const records = countRecords(inserted)
  writer.log.warn('records that ClickHouse had lost are inserted again', { topic, partition, start, records })
}
