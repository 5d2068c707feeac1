// consumer/assignment/collect: the records of a turn.

import type { FetchedPartition } from '../../kafka/consumer/fetcher.ts'
import { partitionKey } from '../records/partition-key.ts'
import { firstSlice, type Slice } from '../records/slice.ts'
import type { AssignmentState, ConsumerContext } from './assignment.ts'
import type { GroupInserts } from './group-inserts.ts'

/** Bytes per fetch: bounds the memory of a batch, as this one is held while the next is being fetched. */
const limits = { minBytes: 1, maxBytes: 12 * 1024 * 1024 }
const busyWaitMs = 100
/** Records end the wait. A broker looks at every partition at its beginning and at its end, so that short waits keep it busy. */
const idleWaitMs = 500
const partitionBytes = 3 * 1024 * 1024
const watermarkBytes = 64 * 1024

/** What follows in the partitions whose groups are not late. */
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
  // Of thousands of partitions, few have any news.
  return fetched.filter(({ records, fromOffset }) => records.nextOffset > fromOffset)
}

/** Whether a turn without records would do nothing: no commit, no watermark, and no group that has waited for its batches to end. */
function isIdle({ watermarks }: ConsumerContext, { owned }: AssignmentState, inserts: GroupInserts): boolean {
  return watermarks.pending === 0 && !inserts.isAnyBusy && ![...owned.values()].some(({ isNews }) => isNews)
}

/** The slices of this turn; watermarks go to their follower. What was fetched ahead of a group that is still busy is fetched again later. */
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
    const slice = firstSlice(part, table, owned.reached)
    reportRepeated(context, part, slice?.from ?? part.records.count)
    if (slice !== undefined) slices.push(slice)
    else {
      // Offsets without records, such as the marker of somebody's transaction, hold nothing to fold.
      owned.fetchFrom = Math.max(owned.fetchFrom, part.records.nextOffset)
      owned.progress = { ...owned.progress, offset: owned.fetchFrom }
    }
  }
  return slices
}

/** What somebody else writes into the topic of watermarks harms nobody; in a table's topic its policy decides. */
function reportForeign({ writer }: ConsumerContext, { topic, fromOffset }: FetchedPartition, records: number): void {
  if (records === 0) return
  writer.log.warn('somebody else writes to a topic of this pipeline', { topic, partition: 0, fromOffset, records })
}

function reportRepeated(
  { writer }: ConsumerContext,
  { topic, partition, fromOffset }: FetchedPartition,
  records: number,
): void {
  if (records === 0) return
  writer.log.warn('records that a producer had appended twice are left out', { topic, partition, fromOffset, records })
}
