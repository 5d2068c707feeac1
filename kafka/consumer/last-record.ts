// kafka/consumer/last-record: the last record that a writer itself wrote into a partition, from
// which it knows its last position.

import type { RecordSet } from '../protocol/record-batch.ts'
import type { Fetcher } from './fetcher.ts'
import { readRange } from './read-range.ts'

export interface RecordContent {
  readonly offset: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

export interface LastRecord {
  /** Undefined when the partition contains no record of the writer. */
  readonly last: RecordContent | undefined
  /** The offset of the first record behind it, and the number of these foreign records. */
  readonly foreign: { readonly offset: number; readonly count: number } | undefined
}

/** Partitions without a response in this time are left out. */
const waitMs = 30_000
/** Limit of one response with the last records of many partitions. */
const responseLimits = { maxWaitMs: 500, minBytes: 1, maxBytes: 16 * 1024 * 1024 }

/** A partition, and the offset before its end offset. */
export interface PartitionEnd {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/**
 * Reads the record at the end of each partition, in as few requests as the sizes allow. A partition
 * whose response has no record is left out. `findLastRecord` finds the last record of such a
 * partition by reading further back.
 * @param onRecord the last record of a partition, valid during the call
 * @throws {MillraceError} as `Fetcher.fetch`; the signal's reason
 */
export async function readEndRecords(
  fetcher: Fetcher,
  places: readonly PartitionEnd[],
  onRecord: (place: PartitionEnd, record: RecordContent) => void,
  signal: AbortSignal,
): Promise<void> {
  const waiting = new Map(places.map(place => [`${place.topic}/${place.partition}`, place]))
  const started = performance.now()
  while (waiting.size > 0 && performance.now() - started < waitMs) {
    for (const { topic, partition, records, end } of await fetcher.fetch(
      [...waiting.values()],
      responseLimits,
      signal,
    )) {
      const name = `${topic}/${partition}`
      const place = waiting.get(name)!
      if (records.count > 0) onRecord(place, viewOf(records, records.count - 1))
      // The broker leaves out partitions when others have filled the response.
      if (records.nextOffset > place.offset) waiting.delete(name)
      else if (end <= place.offset) waiting.delete(name)
    }
  }
}

const firstStep = 1
const stepGrowth = 64

/**
 * Reads further and further back: foreign records, control batches and compacted offsets may follow
 * the writer's last record.
 * @param isOwn whether the writer wrote the record; by default every record counts
 * @throws {MillraceError} as `Fetcher.fetch`; the signal's reason
 */
export async function findLastRecord(
  fetcher: Fetcher,
  {
    topic,
    partition,
    isOwn = () => true,
  }: { topic: string; partition: number; isOwn?: (record: RecordContent) => boolean },
  signal: AbortSignal,
): Promise<LastRecord> {
  const end = (await fetcher.endOffsets(topic, signal))[partition]!
  const start = (await fetcher.startOffsets(topic, signal))[partition]!
  for (let step = firstStep; ; step *= stepGrowth) {
    const from = Math.max(start, end - step)
    let last: RecordContent | undefined
    let foreign: LastRecord['foreign']
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

function viewOf(records: RecordSet, index: number): RecordContent {
  const view = (start: number, end: number) => (start < 0 ? null : records.buffer.subarray(start, end))
  return {
    offset: records.offsets[index]!,
    key: view(records.keyStarts[index]!, records.keyEnds[index]!),
    value: view(records.valueStarts[index]!, records.valueEnds[index]!),
  }
}

function copyOf({ offset, key, value }: RecordContent): RecordContent {
  return { offset, key: key && Buffer.from(key), value: value && Buffer.from(value) }
}
