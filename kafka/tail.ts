// kafka/tail: the last record of a partition, which says how far a producer had come.
// May know: kafka/{fetch,read-range,record-batch}.

import type { Fetcher } from './fetch.ts'
import { readRange } from './read-range.ts'
import type { RecordSet } from './record-batch.ts'

export interface TailRecord {
  readonly offset: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

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
    let last: TailRecord | undefined
    for await (const records of readRange(fetcher, { topic, partition, start: from, end }, signal))
      last = lastRecord(records) ?? last
    if (last || from === start) return last
  }
}

function lastRecord(records: RecordSet): TailRecord | undefined {
  const index = records.count - 1
  if (index < 0) return undefined
  const copy = (start: number, end: number) => (start < 0 ? null : Buffer.from(records.buffer.subarray(start, end)))
  return {
    offset: records.offsets[index]!,
    key: copy(records.keyStarts[index]!, records.keyEnds[index]!),
    value: copy(records.valueStarts[index]!, records.valueEnds[index]!),
  }
}
