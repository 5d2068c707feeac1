// consumer/assignment/collect: fetches the records of one turn of the loop and cuts them into
// slices.

import type { FetchedPartition } from '../../kafka/consumer/fetcher.ts'
import type { TableInserts } from '../insert/table-inserts.ts'
import { emptySlice, firstSlice, partitionKey, type Slice } from '../records/slice.ts'
import type { AssignmentState, ConsumerContext } from './assignment.ts'

/** Bytes per fetch. With the limit of `TableInserts`, they bound the memory. */
const limits = { minBytes: 1, maxBytes: 12 * 1024 * 1024 }
const busyWaitMs = 100
/**
 * A new record ends the wait. A broker checks every partition when a wait begins and when it ends,
 * so short waits cost the broker CPU time.
 */
const idleWaitMs = 500
const partitionBytes = 3 * 1024 * 1024
const watermarkBytes = 64 * 1024

/** Fetches the next records of the partitions whose tables have room in their queues. */
export async function fetchNext(
  context: ConsumerContext,
  assigned: AssignmentState,
  inserts: TableInserts,
  signal: AbortSignal,
): Promise<FetchedPartition[]> {
  const { fetcher, watermarksTopic } = context
  const positions = [
    { topic: watermarksTopic, partition: 0, offset: assigned.watermarkOffset, maxBytes: watermarkBytes },
  ]
  for (const { topic, partition, fetchFrom: offset } of assigned.owned.values()) {
    if (inserts.isFull(topic)) continue
    positions.push({ topic, partition, offset, maxBytes: partitionBytes })
  }
  const maxWaitMs = isIdle(context, assigned, inserts) ? idleWaitMs : busyWaitMs
  const fetched = await fetcher.fetch(positions, { ...limits, maxWaitMs }, signal)
  // Of thousands of partitions, few have new records.
  return fetched.filter(({ records, fromOffset }) => records.nextOffset > fromOffset)
}

/** Whether nothing waits for the next turn: no commit, no watermark, and no insert in progress. */
function isIdle({ watermarks }: ConsumerContext, { owned }: AssignmentState, inserts: TableInserts): boolean {
  return watermarks.isIdle && inserts.isIdle && ![...owned.values()].some(({ isUncommitted }) => isUncommitted)
}

/** The slices of this turn, in order of partition. Watermarks go to their follower. */
export function collect(
  context: ConsumerContext,
  assigned: AssignmentState,
  fetched: readonly FetchedPartition[],
): Slice[] {
  const slices: Slice[] = []
  for (const part of fetched) {
    if (part.topic === context.watermarksTopic) {
      reportForeign(context, part, context.watermarks.add(part.records))
      assigned.watermarkOffset = Math.max(assigned.watermarkOffset, part.records.nextOffset)
      continue
    }
    const owned = assigned.owned.get(partitionKey(part.topic, part.partition))!
    const slice = firstSlice(part, context.writer.tables.get(part.topic)!, owned.lastPosition)
    reportRepeated(context, part, slice?.from ?? part.records.count)
    // Some offsets have no record, such as the markers of another program's transaction.
    const next = slice ?? emptySlice(part, { end: part.records.nextOffset, before: owned.lastPosition })
    slices.push(next)
    owned.fetchFrom = next.end
    owned.lastPosition = next.lastPosition
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
