// consumer/run: the one loop from topics to ClickHouse.
// May know: contract, kafka, runtime, consumer. Each turn commits "done so far, and this next" before it inserts.

import type { OffsetCommit } from '../kafka/coordinator.ts'
import type { FetchedPartition } from '../kafka/fetch.ts'
import { MillraceError } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'
import { foldBatch, learnSchemas, recoverBatch } from './fold.ts'
import { batchName, writeMetadata } from './intent.ts'
import { serverLifetime } from './lifetime.ts'
import { partitionKey } from './partition-key.ts'
import { countRecords, firstSlice, type Slice } from './slice.ts'
import { takeOver } from './takeover.ts'
import type { FoldLoop, Tenure } from './tenure.ts'

/** Bytes per fetch: bounds the memory of a batch, as this one is held while the next is being fetched. */
const fetchLimits = { maxWaitMs: 100, minBytes: 1, maxBytes: 12 * 1024 * 1024 }
const partitionBytes = 3 * 1024 * 1024
/** Records of a turn from which on there is taken to be a backlog. */
const backlogRecords = 10_000

/**
 * Folds until aborted. Losing ownership ends a tenure, not the loop.
 * @throws {MillraceError} OFFSETS_MISSING, RECORD_UNREADABLE, SCHEMA_CHANGED, CLICKHOUSE_FAILED: all need an operator
 */
export async function runFold(loop: FoldLoop, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const assignment = await loop.membership.assigned(signal)
    if (signal.aborted) return
    try {
      const tenure = await takeOver(loop, assignment, signal)
      await fold(loop, tenure, signal)
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== 'FENCED') throw error
      loop.folder.log.info('partitions were reassigned; taking over anew')
    }
  }
}

async function fold(loop: FoldLoop, tenure: Tenure, signal: AbortSignal): Promise<void> {
  let next: Promise<FetchedPartition[]> | undefined
  let watermark = Promise.resolve()
  try {
    while (!signal.aborted && loop.membership.assignment === tenure.assignment) {
      const fetched = await (next ?? fetchNext(loop, tenure, signal))
      await learnSchemas(loop.folder, fetched, signal)
      const slices = collect(loop, tenure, fetched)
      if (slices.length > 0 || tenure.done.size > 0) await commit(loop, tenure, slices)
      advance(tenure, slices)
      next = countRecords(slices) < backlogRecords ? undefined : fetchAhead(loop, tenure, signal)
      if (slices.length > 0) await foldUntilKnown(loop, tenure, slices, signal)
      markDone(tenure, slices)
      // Written while the next records are fetched; two never overlap.
      await watermark
      watermark = advanceWatermark(loop, tenure, signal)
      watermark.catch(() => {})
    }
    await watermark
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    await watermark.catch(() => {})
  }
  // Also after a revocation, so that the next owner finds nothing open.
  if (tenure.done.size > 0) await commit(loop, tenure, [])
}

/** While there is a backlog, the next records are fetched during the insert; otherwise after it, so that they are as new as can be. */
function fetchAhead(loop: FoldLoop, tenure: Tenure, signal: AbortSignal): Promise<FetchedPartition[]> {
  const next = fetchNext(loop, tenure, signal)
  next.catch(() => {})
  return next
}

function fetchNext(loop: FoldLoop, tenure: Tenure, signal: AbortSignal): Promise<FetchedPartition[]> {
  const positions = [...tenure.positions.values()].map(position => ({ ...position, maxBytes: partitionBytes }))
  const watermark = { topic: loop.watermarksTopic, partition: 0, offset: tenure.watermarkOffset, maxBytes: 64 * 1024 }
  return loop.fetcher.fetch([...positions, watermark], fetchLimits, signal)
}

/** The slices of this turn; watermarks go to their follower. */
function collect(loop: FoldLoop, tenure: Tenure, fetched: readonly FetchedPartition[]): Slice[] {
  const slices: Slice[] = []
  for (const part of fetched) {
    if (part.topic === loop.watermarksTopic) {
      reportForeign(loop, part, loop.watermarks.add(part.records))
      if (part.records.count > 0) tenure.watermarkOffset = part.records.offsets[part.records.count - 1]! + 1
      continue
    }
    const position = tenure.positions.get(partitionKey(part.topic, part.partition))!
    const slice = firstSlice(part, loop.folder.tables.get(part.topic)!, position.reached)
    reportRepeated(loop, part, slice?.from ?? part.records.count)
    if (slice !== undefined) slices.push(slice)
    // Offsets without records, such as the marker of somebody's transaction, hold nothing to fold.
    else position.offset = Math.max(position.offset, part.records.nextOffset)
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

/** One atomic commit: what is done, and for each partition of the next batch where it starts and how far it will go. */
async function commit(loop: FoldLoop, tenure: Tenure, slices: readonly Slice[]): Promise<void> {
  const commits = new Map<string, OffsetCommit>()
  for (const [key, { reached, ...done }] of tenure.done) commits.set(key, { ...done, metadata: writeMetadata(reached) })
  for (const group of new Set(slices.map(({ topic }) => loop.folder.tables.get(topic)!.group))) {
    const own = slices.filter(({ topic }) => loop.folder.tables.get(topic)!.group === group)
    const batch = batchName(own)
    for (const { topic, partition, start, end } of own) {
      const key = partitionKey(topic, partition)
      const { reached } = tenure.positions.get(key)!
      const metadata = writeMetadata(reached, { end, batch, server: tenure.server })
      commits.set(key, { topic, partition, offset: start, metadata })
    }
  }
  await loop.membership.commit([...commits.values()])
  tenure.done.clear()
}

function advance(tenure: Tenure, slices: readonly Slice[]): void {
  for (const { topic, partition, end, reached } of slices) {
    tenure.positions.set(partitionKey(topic, partition), { topic, partition, offset: end, reached })
  }
}

/** A failed insert has an unknown outcome, so every further attempt looks first. Gives up only when fenced or asked to stop. */
async function foldUntilKnown(
  loop: FoldLoop,
  tenure: Tenure,
  slices: readonly Slice[],
  signal: AbortSignal,
): Promise<void> {
  const { folder, membership } = loop
  const attempt = async (count: number) => {
    if (!membership.stillOwner()) {
      throw new MillraceError('FENCED', {
        what: 'ownership lapsed before an insert',
        next: 'none: the next owner completes the batch',
      })
    }
    if (count === 1) return foldBatch(folder, slices)
    const server = await serverLifetime(folder.inserter.clickhouse)
    const { soleMember } = membership
    await recoverBatch(folder, slices, { sameServer: server === tenure.server, soleMember })
    tenure.server = server
  }
  await retry(attempt, { what: 'fold a batch', signal, log: folder.log, firstMs: 50, mostMs: 5000 })
}

function markDone(tenure: Tenure, slices: readonly Slice[]): void {
  for (const { topic, partition, end, reached } of slices) {
    tenure.done.set(partitionKey(topic, partition), { topic, partition, offset: end, reached })
  }
}

/** Everything below a position has been folded once the turn is over; what others own is known from their commits. */
async function advanceWatermark(loop: FoldLoop, tenure: Tenure, signal: AbortSignal): Promise<void> {
  // As they are now: the next turn moves them before it has folded anything.
  const folded = new Map([...tenure.positions].map(([key, { offset }]) => [key, offset]))
  const others = await loop.others.offsets(tenure)
  const visible = (topic: string, partition: number) => {
    const key = partitionKey(topic, partition)
    return folded.get(key) ?? others.get(key) ?? -1
  }
  await retry(() => loop.watermarks.advance(visible), { what: 'write a watermark', signal, log: loop.folder.log })
}
