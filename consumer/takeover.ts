// consumer/takeover: from a new assignment to known positions, completing what the previous owner left open.
// May know: kafka, runtime, consumer.

import { retry } from '../runtime/retry.ts'
import { learnSchemas, recoverBatch } from './fold.ts'
import { type OpenRange, openBatches, type Progress, readMetadata } from './intent.ts'
import { serverLifetime } from './lifetime.ts'
import { partitionKey } from './partition-key.ts'
import { type Slice, sliceOfRange } from './slice.ts'
import type { FoldLoop, Tenure } from './tenure.ts'

/**
 * Reads the progress of all partitions, owned or not, because an open batch may reach over partitions of several members; whoever
 * meets it completes it whole.
 * @throws {MillraceError} OFFSETS_MISSING when a topic no longer holds what must be folded next
 */
export async function takeOver(loop: FoldLoop, assignment: number, signal: AbortSignal): Promise<Tenure> {
  const all = loop.generation.tables.flatMap(({ topic, partitions }) =>
    Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
  )
  const committed = await loop.membership.committed(all)
  const progress: Progress[] = committed.map(({ topic, partition, offset, metadata }) => ({
    topic,
    partition,
    offset: Math.max(offset, 0),
    ...readMetadata(metadata, `consumer group, topic ${topic}, partition ${partition}`),
  }))
  const owned = new Set(loop.membership.partitions.map(({ topic, partition }) => partitionKey(topic, partition)))
  const isOwned = ({ topic, partition }: { topic: string; partition: number }) =>
    owned.has(partitionKey(topic, partition))
  const tenure: Tenure = {
    assignment,
    positions: new Map(),
    done: new Map(),
    watermarkOffset: await lastWatermark(loop),
    server: await retry(() => serverLifetime(loop.folder.inserter.clickhouse), {
      what: 'ask ClickHouse which run of the server this is',
      signal,
      log: loop.folder.log,
    }),
  }
  for (const [batch, ranges] of openBatches(progress)) {
    if (!ranges.some(isOwned)) continue
    loop.folder.log.info('completing a batch that was left open', { batch, ranges: ranges.length })
    const slices = await readRanges(loop, ranges, signal)
    const complete = async () => {
      // Asked at each attempt: the server may have been restarted since the one before.
      tenure.server = await serverLifetime(loop.folder.inserter.clickhouse)
      const sameServer = progress.every(({ intent }) => intent?.batch !== batch || intent.server === tenure.server)
      await recoverBatch(loop.folder, slices, { sameServer, soleMember: loop.membership.soleMember })
    }
    await retry(complete, { what: 'complete an open batch', signal, log: loop.folder.log })
    for (const { topic, partition, end, reached } of slices.filter(isOwned)) {
      tenure.done.set(partitionKey(topic, partition), { topic, partition, offset: end, reached })
    }
  }
  for (const { topic, partition, offset, reached } of progress.filter(isOwned)) {
    const key = partitionKey(topic, partition)
    tenure.positions.set(key, { ...(tenure.done.get(key) ?? { topic, partition, offset, reached }) })
  }
  return tenure
}

/** The records of exactly these offset ranges, read again from the topics. */
async function readRanges(
  { fetcher, folder }: FoldLoop,
  ranges: readonly OpenRange[],
  signal: AbortSignal,
): Promise<Slice[]> {
  const slices: Slice[] = []
  for (const { topic, partition, start, end, reached } of ranges) {
    const table = folder.tables.get(topic)!
    for (let maxBytes = 4 * 1024 * 1024; ; maxBytes *= 2) {
      const position = { topic, partition, offset: start, maxBytes }
      const [fetched] = await fetcher.fetch([position], { maxWaitMs: 1000, minBytes: 1, maxBytes }, signal)
      if (fetched !== undefined) await learnSchemas(folder, [fetched], signal)
      const slice = fetched === undefined ? undefined : sliceOfRange(fetched, table, { end, before: reached })
      if (slice !== undefined) {
        slices.push(slice)
        break
      }
      if (signal.aborted) throw signal.reason
    }
  }
  return slices
}

/** Only the newest watermark matters: each covers all before it. */
async function lastWatermark({ fetcher, watermarksTopic }: FoldLoop): Promise<number> {
  const [end] = await fetcher.endOffsets(watermarksTopic)
  const [start] = await fetcher.startOffsets(watermarksTopic)
  return Math.max((end ?? 0) - 1, start ?? 0)
}
