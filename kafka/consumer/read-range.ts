// kafka/consumer/read-range: all records of a partition between two offsets.

import { MillraceError } from '../../runtime/errors.ts'
import type { RecordSet } from '../protocol/record-batch.ts'
import type { FetchedPartition, Fetcher } from './fetcher.ts'

export interface OffsetRange {
  readonly topic: string
  readonly partition: number
  readonly start: number
  /** Exclusive. The result may contain records above it. */
  readonly end: number
}

const limits = { maxWaitMs: 500, minBytes: 1, maxBytes: 4 * 1024 * 1024 }

/** For a moment, a new leader may have a lower high watermark than the last one. */
const waitMs = 30_000

/**
 * @param limitMs how long to wait for a partition that ends below `end`, in ms
 * @throws {MillraceError} as `Fetcher.fetch`; OFFSETS_MISSING when the partition still ends below
 *   `end`; the signal's reason
 */
export async function* readRange(
  fetcher: Fetcher,
  range: OffsetRange,
  signal: AbortSignal,
  limitMs = waitMs,
): AsyncGenerator<RecordSet> {
  const { topic, partition, start, end } = range
  let heard = performance.now()
  for (let offset = start; offset < end; ) {
    const [fetched] = await fetcher.fetch([{ topic, partition, offset }], limits, signal)
    if (fetched === undefined) continue
    if (fetched.records.nextOffset === offset) {
      // If compaction has removed all records up to the end, the response is empty.
      if (fetched.end >= end) return
      if (performance.now() - heard > limitMs) throw endsEarly(range, fetched.end)
      continue
    }
    yield fetched.records
    offset = fetched.records.nextOffset
    heard = performance.now()
  }
}

const firstBytes = 4 * 1024 * 1024
const mostBytes = 2 ** 30

/**
 * All records of the range in one set, perhaps with some behind it.
 * @throws {MillraceError} as `readRange`
 */
export async function fetchRange(fetcher: Fetcher, range: OffsetRange, signal: AbortSignal): Promise<FetchedPartition> {
  const { topic, partition, start: offset, end } = range
  const started = performance.now()
  for (let maxBytes = firstBytes; ; ) {
    const [fetched] = await fetcher.fetch([{ topic, partition, offset }], { ...limits, maxBytes }, signal)
    if (fetched === undefined) continue
    if (fetched.records.nextOffset >= end) return fetched
    if (fetched.end >= end) maxBytes = Math.min(maxBytes * 2, mostBytes)
    else if (performance.now() - started > waitMs) throw endsEarly(range, fetched.end)
  }
}

function endsEarly({ topic, partition, end }: OffsetRange, found: number): MillraceError {
  return new MillraceError('OFFSETS_MISSING', {
    what: `records up to offset ${end} (exclusive) were there, and the topic ends at ${found}`,
    where: `topic ${topic}, partition ${partition}`,
    next: 'the brokers have lost records; if they do not come back, start a new generation: millrace producer --new-generation',
  })
}
