// consumer/records/slice: which records a batch consists of.
// Pure.

import type { Envelope } from '../../contract/envelope.ts'
import type { Position } from '../../contract/position.ts'
import type { FetchedPartition } from '../../kafka/consumer/fetcher.ts'
import type { RecordSet } from '../../kafka/protocol/record-batch.ts'

/**
 * Records `from` (inclusive) to `to` (exclusive) of one fetched partition. They are all the records in the offset range
 * [start, end) but those at its beginning that repeat what stands before it, so the range and the position reached before it,
 * written down as an intent, are enough to read the same records again.
 */
export interface Slice {
  readonly topic: string
  readonly partition: number
  readonly start: number
  readonly end: number
  readonly records: RecordSet
  readonly from: number
  readonly to: number
  /** A TRUNCATE record; it always stands alone in its slice. */
  readonly truncate: boolean
  /** Records between `from` and `to` that millrace did not write for this table, by index: why. They are set aside, not inserted. */
  readonly foreign: ReadonlyMap<number, string>
  /** Set where the one record is only this image of an update. */
  readonly image?: 'before' | 'after'
  /** Position of the last record of ours; undefined when none stands before its end. */
  readonly reached: Position | undefined
}

/** What is asked of the table that a topic belongs to. */
export interface Reading {
  readonly envelope: Envelope
  /** Whether a foreign record stops the table: then everything before it is a slice of its own, and is folded. */
  readonly stopsAtForeign: boolean
}

/** Up to where, and after what. */
interface Bounds {
  /** Position of the last record of ours before what was fetched. */
  readonly before: Position | undefined
  /** No record from this offset on. */
  readonly end: number
  /** Index of the first record; 0 by default. */
  readonly at?: number
}

const none: ReadonlyMap<number, string> = new Map()

/**
 * The first slice of a fetched partition: up to its end, to the next truncate or to the next repetition, or a truncate alone.
 * @param before position of the last record before what was fetched
 */
export function firstSlice(fetched: FetchedPartition, reading: Reading, before?: Position): Slice | undefined {
  return cut(fetched, reading, { before, end: Number.POSITIVE_INFINITY })
}

/** The offset range from where was fetched to `end`; undefined when not all of it is there yet. */
export function sliceOfRange(
  fetched: FetchedPartition,
  { envelope }: Reading,
  { end, before }: Bounds,
): Slice | undefined {
  const { topic, partition, records, fromOffset: start } = fetched
  if (records.count === 0 || records.offsets[records.count - 1]! + 1 < end) return undefined
  // Whether foreign records stop the table may have been changed since the range was written down.
  const slice = cut(fetched, { envelope, stopsAtForeign: false }, { end, before })
  const empty = { topic, partition, start, records, from: 0, to: 0, truncate: false, foreign: none, reached: before }
  return { ...(slice ?? empty), end }
}

/**
 * Positions only grow within a partition. A record of ours whose position does not is a repetition: a producer that was killed had it on
 * its way, and the broker appended it only after the next producer had looked where the topic ends. A record that is not ours has no
 * position, whatever its bytes look like.
 */
function cut(fetched: FetchedPartition, { envelope, stopsAtForeign }: Reading, { before, end, at = 0 }: Bounds) {
  const { topic, partition, records, fromOffset: start } = fetched
  const { count, buffer, offsets, keyStarts, keyEnds, valueStarts, valueEnds } = records
  const foreign = new Map<number, string>()
  let { lsn, ordinal } = before ?? { lsn: -1, ordinal: -1 }
  let truncate = false
  let from = -1
  let to = at
  for (; to < count && offsets[to]! < end && !truncate; to++) {
    const why = envelope.read(buffer, keyStarts[to]!, keyEnds[to]!, valueStarts[to]!, valueEnds[to]!)
    if (why !== undefined) {
      if (stopsAtForeign && from !== -1) break
      foreign.set(to, why)
    } else {
      const isRepeated = envelope.lsn < lsn || (envelope.lsn === lsn && envelope.ordinal <= ordinal)
      if (isRepeated && from === -1) continue
      const isTruncate = envelope.op === 't'
      if (isRepeated || (from !== -1 && (isTruncate || (stopsAtForeign && foreign.size > 0)))) break
      truncate = isTruncate
      lsn = envelope.lsn
      ordinal = envelope.ordinal
    }
    if (from === -1) from = to
  }
  if (from === -1) return undefined
  const reached = lsn === -1 ? undefined : { lsn, ordinal }
  return { topic, partition, start, end: offsets[to - 1]! + 1, records, from, to, truncate, foreign, reached }
}

/** The records below `end`, in as many slices as it takes. */
export function* slicesBelow(fetched: FetchedPartition, envelope: Envelope, bounds: Bounds): Generator<Slice> {
  const reading = { envelope, stopsAtForeign: false }
  for (let { before, at = 0 } = bounds; ; ) {
    const slice = cut(fetched, reading, { ...bounds, before, at })
    if (slice === undefined) return
    yield slice
    before = slice.reached
    at = slice.to
  }
}

/**
 * A topic's slices by partition, in whatever order they were fetched: a fetch begins with another partition each time, and who completes
 * a batch must send the same bytes under the same token.
 */
export function inOrder(slices: readonly Slice[]): Slice[] {
  return slices.toSorted((a, b) => a.partition - b.partition)
}

/** Two halves of a list of slices by number of records; a list of one record cannot be halved. */
export function halve(slices: readonly Slice[]): [Slice[], Slice[]] {
  const total = countRecords(slices)
  let left = Math.floor(total / 2)
  const halves: [Slice[], Slice[]] = [[], []]
  for (const slice of slices) {
    const cut = Math.min(slice.from + left, slice.to)
    if (cut > slice.from) halves[0].push({ ...slice, to: cut })
    if (cut < slice.to) halves[1].push({ ...slice, from: cut })
    left -= cut - slice.from
  }
  return halves
}

/** Runs of the slice's records that are ours. */
export function ownRuns(slice: Slice): Slice[] {
  return runs(slice, index => !slice.foreign.has(index)).map(run => ({ ...run, foreign: none }))
}

/** Runs of the slice's records whose offsets are not in `present`. */
export function withoutOffsets(slice: Slice, present: ReadonlySet<number>): Slice[] {
  return runs(slice, index => !present.has(slice.records.offsets[index]!))
}

function runs(slice: Slice, isWanted: (index: number) => boolean): Slice[] {
  const found: Slice[] = []
  let from = slice.from
  for (let index = slice.from; index <= slice.to; index++) {
    if (index < slice.to && isWanted(index)) continue
    if (index > from) found.push({ ...slice, from, to: index })
    from = index + 1
  }
  return found
}

export function countRecords(slices: readonly Slice[]): number {
  return slices.reduce((sum, slice) => sum + slice.to - slice.from, 0)
}
