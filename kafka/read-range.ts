// kafka/read-range: all records of a partition between two offsets.
// May know: kafka/{fetch,record-batch}.

import type { Fetcher } from './fetch.ts'
import type { RecordSet } from './record-batch.ts'

export interface OffsetRange {
  readonly topic: string
  readonly partition: number
  readonly start: number
  /** Exclusive. Records above it may be given as well. */
  readonly end: number
}

const limits = { maxWaitMs: 500, minBytes: 1, maxBytes: 4 * 1024 * 1024 }

/** @throws {MillraceError} as `Fetcher.fetch`; the signal's reason */
export async function* readRange(fetcher: Fetcher, range: OffsetRange, signal: AbortSignal): AsyncGenerator<RecordSet> {
  const { topic, partition, start, end } = range
  for (let offset = start; offset < end; ) {
    const [fetched] = await fetcher.fetch([{ topic, partition, offset }], limits, signal)
    if (fetched === undefined) continue
    // Compaction may have removed everything up to the end; the broker answers that with nothing.
    if (fetched.records.nextOffset === offset) return
    yield fetched.records
    offset = fetched.records.nextOffset
  }
}
