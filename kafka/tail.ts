// kafka/tail: the last record of a partition, which says how far a producer had come.
// May know: kafka/{fetch,record-batch}.

import type { FetchedPartition, Fetcher } from './fetch.ts'

export interface TailRecord {
  readonly offset: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

const limits = { maxWaitMs: 500, minBytes: 1, maxBytes: 1024 * 1024 }
const firstStep = 1
const stepGrowth = 64

/**
 * The last record, or undefined in a partition that holds none. Control batches and offsets removed by compaction may stand
 * behind it, so it is looked for ever further back.
 * @throws {MillraceError} as `Fetcher.fetch`; the signal's reason
 */
export async function readTail(
  fetcher: Fetcher,
  topic: string,
  partition: number,
  signal: AbortSignal,
): Promise<TailRecord | undefined> {
  const end = (await fetcher.endOffsets(topic))[partition]!
  const start = (await fetcher.startOffsets(topic))[partition]!
  for (let step = firstStep; ; step *= stepGrowth) {
    const from = Math.max(start, end - step)
    const found = await lastBetween(fetcher, { topic, partition, offset: from }, end, signal)
    if (found || from === start) return found
  }
}

async function lastBetween(
  fetcher: Fetcher,
  from: { topic: string; partition: number; offset: number },
  end: number,
  signal: AbortSignal,
): Promise<TailRecord | undefined> {
  let last: TailRecord | undefined
  for (let offset = from.offset; offset < end; ) {
    const [fetched] = await fetcher.fetch([{ ...from, offset }], limits, signal)
    if (fetched === undefined) continue
    last = lastRecord(fetched) ?? last
    if (fetched.records.nextOffset === offset) break
    offset = fetched.records.nextOffset
  }
  return last
}

function lastRecord({ records }: FetchedPartition): TailRecord | undefined {
  const index = records.count - 1
  if (index < 0) return undefined
  const copy = (start: number, end: number) => (start < 0 ? null : Buffer.from(records.buffer.subarray(start, end)))
  return {
    offset: records.offsets[index]!,
    key: copy(records.keyStarts[index]!, records.keyEnds[index]!),
    value: copy(records.valueStarts[index]!, records.valueEnds[index]!),
  }
}
