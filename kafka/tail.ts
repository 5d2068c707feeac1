// kafka/tail: the last record of a partition that its writer knows as its own, which says how far it had come.
// May know: kafka/{fetch,read-range,record-batch}.

import type { Fetcher } from './fetch.ts'
import { readRange } from './read-range.ts'
import type { RecordSet } from './record-batch.ts'

export interface TailRecord {
  readonly offset: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

export interface Tail {
  /** Undefined when the partition holds none of the writer's. */
  readonly last: TailRecord | undefined
  /** Of the records behind it, which are others', the offset of the first, and how many they are. */
  readonly foreign: { readonly offset: number; readonly count: number } | undefined
}

const firstStep = 1
const stepGrowth = 64

/**
 * Looks ever further back, since records of others, control batches and offsets removed by compaction may stand behind the last one.
 * @param isOwn whether a record is the writer's; every one is by default
 * @throws {MillraceError} as `Fetcher.fetch`; the signal's reason
 */
export async function readTail(
  fetcher: Fetcher,
  {
    topic,
    partition,
    isOwn = () => true,
  }: { topic: string; partition: number; isOwn?: (record: TailRecord) => boolean },
  signal: AbortSignal,
): Promise<Tail> {
  const end = (await fetcher.endOffsets(topic, signal))[partition]!
  const start = (await fetcher.startOffsets(topic, signal))[partition]!
  for (let step = firstStep; ; step *= stepGrowth) {
    const from = Math.max(start, end - step)
    let last: TailRecord | undefined
    let foreign: Tail['foreign']
    for await (const records of readRange(fetcher, { topic, partition, start: from, end }, signal)) {
      for (let index = 0; index < records.count; index++) {
        const record = viewOf(records, index)
        if (isOwn(record)) {
          last = record
          foreign = undefined
        } else foreign = { offset: foreign?.offset ?? record.offset, count: (foreign?.count ?? 0) + 1 }
      }
    }
    if (last || from === start) return { last: last && copyOf(last), foreign }
  }
}

function viewOf(records: RecordSet, index: number): TailRecord {
  const view = (start: number, end: number) => (start < 0 ? null : records.buffer.subarray(start, end))
  return {
    offset: records.offsets[index]!,
    key: view(records.keyStarts[index]!, records.keyEnds[index]!),
    value: view(records.valueStarts[index]!, records.valueEnds[index]!),
  }
}

function copyOf({ offset, key, value }: TailRecord): TailRecord {
  return { offset, key: key && Buffer.from(key), value: value && Buffer.from(value) }
}
