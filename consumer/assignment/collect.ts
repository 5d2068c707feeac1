// consumer/assignment/collect: the records of a turn.

import type { FetchedPartition } from '../../kafka/consumer/fetcher.ts'
import { partitionKey } from '../records/partition-key.ts'
import { firstSlice, type Slice } from '../records/record-range.ts'
import type { FoldLoop, Tenure } from './assignment.ts'
import type { Lanes } from './lanes.ts'

/** Bytes per fetch: bounds the memory of a batch, as this one is held while the next is being fetched. */
const limits = { maxWaitMs: 100, minBytes: 1, maxBytes: 12 * 1024 * 1024 }
/** Records end the wait. A broker looks at every partition at its beginning and at its end, so that short waits keep it busy. */
const idleWaitMs = 500
const partitionBytes = 3 * 1024 * 1024
const watermarkBytes = 64 * 1024

/** What follows in the partitions whose groups are not late. */
export async function fetchNext(
  loop: FoldLoop,
  tenure: Tenure,
  lanes: Lanes,
  signal: AbortSignal,
): Promise<FetchedPartition[]> {
  const { fetcher, folder, watermarksTopic } = loop
  const positions = [{ topic: watermarksTopic, partition: 0, offset: tenure.watermarkOffset, maxBytes: watermarkBytes }]
  for (const { topic, partition, fetchFrom: offset } of tenure.owned.values()) {
    if (lanes.isLate(folder.tables.get(topic)!.group)) continue
    positions.push({ topic, partition, offset, maxBytes: partitionBytes })
  }
  const wait = isIdle(loop, tenure, lanes) ? { maxWaitMs: idleWaitMs } : {}
  const fetched = await fetcher.fetch(positions, { ...limits, ...wait }, signal)
  // Of thousands of partitions, few have any news.
  return fetched.filter(({ records, fromOffset }) => records.nextOffset > fromOffset)
}

/** Whether a turn without records would do nothing: no commit, no watermark, and no group that has waited for its batches to end. */
function isIdle({ watermarks }: FoldLoop, { owned }: Tenure, lanes: Lanes): boolean {
  return watermarks.pending === 0 && !lanes.isAnyBusy && ![...owned.values()].some(({ isNews }) => isNews)
}

/** The slices of this turn; watermarks go to their follower. What was fetched ahead of a group that is still busy is fetched again later. */
export function collect(loop: FoldLoop, tenure: Tenure, lanes: Lanes, fetched: readonly FetchedPartition[]): Slice[] {
  const slices: Slice[] = []
  for (const part of fetched) {
    if (part.topic === loop.watermarksTopic) {
      reportForeign(loop, part, loop.watermarks.add(part.records))
      tenure.watermarkOffset = Math.max(tenure.watermarkOffset, part.records.nextOffset)
      continue
    }
    const table = loop.folder.tables.get(part.topic)!
    if (lanes.isBusy(table.group)) continue
    const owned = tenure.owned.get(partitionKey(part.topic, part.partition))!
    const slice = firstSlice(part, table, owned.reached)
    reportRepeated(loop, part, slice?.from ?? part.records.count)
    if (slice !== undefined) slices.push(slice)
    else {
      // Offsets without records, such as the marker of somebody's transaction, hold nothing to fold.
      owned.fetchFrom = Math.max(owned.fetchFrom, part.records.nextOffset)
      owned.folded = { ...owned.folded, offset: owned.fetchFrom }
    }
  }
  return slices
}

/** What somebody else writes into the topic of watermarks harms nobody; in a table's topic its policy decides. */
function reportForeign({ folder }: FoldLoop, { topic, fromOffset }: FetchedPartition, records: number): void {
  if (records === 0) return
  folder.log.warn('somebody else writes to a topic of this pipeline', { topic, partition: 0, fromOffset, records })
}

function reportRepeated(
  { folder }: FoldLoop,
  { topic, partition, fromOffset }: FetchedPartition,
  records: number,
): void {
  if (records === 0) return
  folder.log.warn('records that a producer had appended twice are left out', { topic, partition, fromOffset, records })
}
