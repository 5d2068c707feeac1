// consumer/assignment/collect: fetches the records of one turn of the loop and cuts them into
// slices.

import type { FetchedPartition } from '../../kafka/consumer/fetcher.ts'
import { firstSlice, partitionKey, type Slice } from '../records/slice.ts'
import type { AssignmentState, ConsumerContext } from './assignment.ts'
import type { GroupInserts } from './group-inserts.ts'

/** Bytes per fetch. They bound memory: one batch is inserted while the next one is fetched. */
const limits = { minBytes: 1, maxBytes: 12 * 1024 * 1024 }
const busyWaitMs = 100
/**
 * A new record ends the wait. A broker checks every partition when a wait begins and when it ends,
 * so short waits cost the broker CPU time.
 */
const idleWaitMs = 500
const partitionBytes = 3 * 1024 * 1024
const watermarkBytes = 64 * 1024

/** Fetches the next records of the partitions whose groups are not late. */
export async function fetchNext(
  context: ConsumerContext,
  assigned: AssignmentState,
  inserts: GroupInserts,
  signal: AbortSignal,
): Promise<FetchedPartition[]> {
  const { fetcher, writer, watermarksTopic } = context
  const positions = [
    { topic: watermarksTopic, partition: 0, offset: assigned.watermarkOffset, maxBytes: watermarkBytes },
  ]
  for (const { topic, partition, fetchFrom: offset } of assigned.owned.values()) {
    if (inserts.isLate(writer.tables.get(topic)!.group)) continue
    positions.push({ topic, partition, offset, maxBytes: partitionBytes })
  }
  const maxWaitMs = isIdle(context, assigned, inserts) ? idleWaitMs : busyWaitMs
  const fetched = await fetcher.fetch(positions, { ...limits, maxWaitMs }, signal)
  // Of thousands of partitions, few have new records.
  return fetched.filter(({ records, fromOffset }) => records.nextOffset > fromOffset)
}

/**
 * Whether a turn without records would do nothing: no commit, no watermark, and no batch of a group
 * in progress.
 */
function isIdle({ watermarks }: ConsumerContext, { owned }: AssignmentState, inserts: GroupInserts): boolean {
  return (
    watermarks.pending === 0 && !inserts.isAnyBusy && ![...owned.values()].some(({ isUncommitted }) => isUncommitted)
  )
}

/**
 * The slices of this turn. Watermarks go to their follower. Records of a group that is still busy
 * are dropped here, and fetched again later.
 */
export function collect(
  context: ConsumerContext,
  assigned: AssignmentState,
  inserts: GroupInserts,
  fetched: readonly FetchedPartition[],
): Slice[] {
  const slices: Slice[] = []
  for (const part of fetched) {
    if (part.topic === context.watermarksTopic) {
      reportForeign(context, part, context.watermarks.add(part.records))
      assigned.watermarkOffset = Math.max(assigned.watermarkOffset, part.records.nextOffset)
      continue
    }
    const table = context.writer.tables.get(part.topic)!
    if (inserts.isBusy(table.group)) continue
    const owned = assigned.owned.get(partitionKey(part.topic, part.partition))!
    const slice = firstSlice(part, table, owned.lastPosition)
    reportRepeated(context, part, slice?.from ?? part.records.count)
    if (slice !== undefined) slices.push(slice)
    else {
      // Some offsets have no record, such as the markers of another program's transaction.
      owned.fetchFrom = Math.max(owned.fetchFrom, part.records.nextOffset)
      owned.progress = { ...owned.progress, offset: owned.fetchFrom }
    }
  }
  return slices
}

/**
 * Foreign records in the topic of watermarks do no harm. In a table's topic, the table's `onError`
 * decides.
 */
function reportForeign({ writer }: ConsumerContext, { topic, fromOffset }: FetchedPartition, records: number): void {
  if (records === 0) return
  writer.log.warn('another program writes to a topic of this pipeline', { topic, partition: 0, fromOffset, records })
}

function reportRepeated(
  { writer }: ConsumerContext,
  { topic, partition, fromOffset }: FetchedPartition,
  records: number,
): void {
  if (records === 0) return
  writer.log.warn('records that a producer had appended twice are left out', { topic, partition, fromOffset, records })
}
