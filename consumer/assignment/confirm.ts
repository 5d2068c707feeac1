// consumer/assignment/confirm: checks that the topics still have the last records that are in
// ClickHouse.

import { readPosition } from '../../contract/head.ts'
import { comparePositions, formatLsn } from '../../contract/position.ts'
import type { FetchedPartition, Fetcher } from '../../kafka/consumer/fetcher.ts'
import { fetchRange } from '../../kafka/consumer/read-range.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { LastRow } from '../insert/changelog.ts'
import { partitionKey } from '../records/slice.ts'

/** An inserted record: its offset, and its position in the source. */
export interface Confirmed {
  readonly topic: string
  readonly partition: number
  readonly last: Pick<LastRow, 'offset' | 'position'>
}

const limits = { maxWaitMs: 100, minBytes: 1, maxBytes: 16 * 1024 * 1024 }
const partitionBytes = 512 * 1024

/**
 * Reads each of the records again. Records that Kafka's retention has deleted are skipped.
 * @throws {MillraceError} OFFSETS_MISSING when the offset has another record, or none
 */
export async function confirmRecords(
  fetcher: Fetcher,
  inserted: readonly Confirmed[],
  signal: AbortSignal,
): Promise<void> {
  const left = new Map(inserted.map(record => [partitionKey(record.topic, record.partition), record]))
  const compare = (fetched: FetchedPartition) => {
    const key = partitionKey(fetched.topic, fetched.partition)
    const record = left.get(key)
    if (record === undefined || fetched.records.nextOffset === record.last.offset) return
    requireSame(fetched, record)
    left.delete(key)
  }
  await withoutDeleted(fetcher, left, async () => {
    const positions = [...left.values()].map(({ topic, partition, last: { offset } }) => {
      return { topic, partition, offset, maxBytes: partitionBytes }
    })
    if (positions.length > 0) for (const fetched of await fetcher.fetch(positions, limits, signal)) compare(fetched)
    // One answer may lack records: it has a limit of bytes, and a leader may have been unreachable.
    for (const { topic, partition, last } of [...left.values()]) {
      compare(await fetchRange(fetcher, { topic, partition, start: last.offset, end: last.offset + 1 }, signal))
    }
  })
}

function requireSame({ records }: FetchedPartition, { topic, partition, last: { offset, position } }: Confirmed): void {
  const found = records.offsets[0] === offset ? positionOf(records) : undefined
  if (found !== undefined && comparePositions(found, position) === 0) return
  const other = found === undefined ? 'no record of millrace' : `the change ${formatLsn(found.lsn)}/${found.ordinal}`
  throw new MillraceError('OFFSETS_MISSING', {
    what: `the last record that was inserted is the change ${formatLsn(position.lsn)}/${position.ordinal}, and at its offset the topic now holds ${other}`,
    where: `topic ${topic}, partition ${partition}, offset ${offset}`,
    next: 'the topic was deleted and created again, or the brokers have lost records; start a new generation: millrace producer --new-generation',
  })
}

function positionOf({ buffer, valueStarts, valueEnds }: FetchedPartition['records']) {
  try {
    return readPosition(buffer, valueStarts[0]!, valueEnds[0]!)
  } catch {
    return undefined
  }
}

/** Repeats the work without the records whose offsets Kafka has deleted. */
async function withoutDeleted(
  fetcher: Fetcher,
  left: Map<string, Confirmed>,
  work: () => Promise<void>,
): Promise<void> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== 'OFFSETS_MISSING') throw error
      const before = left.size
      for (const topic of new Set([...left.values()].map(record => record.topic))) {
        for (const [partition, start] of (await fetcher.startOffsets(topic)).entries()) {
          const key = partitionKey(topic, partition)
          if ((left.get(key)?.last.offset ?? start) < start) left.delete(key)
        }
      }
      if (left.size === before) throw error
    }
  }
}
