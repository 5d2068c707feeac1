// consumer/records/slice: cuts the fetched records of a partition into slices.
// Pure.

import type { Envelope } from '../../contract/envelope.ts'
import type { Position } from '../../contract/position.ts'
import type { FetchedPartition } from '../../kafka/consumer/fetcher.ts'
import type { RecordSet } from '../../kafka/protocol/record-batch.ts'

/**
 * Records `from` (inclusive) to `to` (exclusive) of one fetched partition. They are all records of
 * the offset range [start, end), except repetitions at its beginning.
 */
export interface Slice {
  readonly topic: string
  readonly partition: number
  readonly start: number
  readonly end: number
  readonly records: RecordSet
  readonly from: number
  readonly to: number
  /** The record is a TRUNCATE. Such a slice has one record. */
  readonly truncate: boolean
  /**
   * Records between `from` and `to` that millrace did not write for this table: index → reason.
   * They are not inserted.
   */
  readonly foreign: ReadonlyMap<number, string>
  /** Set when the only record is this image of an update. */
  readonly image?: 'before' | 'after'
  /** Position of the last record of millrace before `end`; undefined without one. */
  readonly lastPosition: Position | undefined
}

/** The properties of a table that slices depend on. */
export interface SliceRules {
  readonly envelope: Envelope
  /**
   * Whether a foreign record stops the table. Then the records before it are a slice of their own,
   * and are inserted.
   */
  readonly stopsAtForeign: boolean
}

/** The end of a cut, and the position before it. */
interface Bounds {
  /** Position of the last record of millrace before the fetched records. */
  readonly before: Position | undefined
  /** Records from this offset on are left out. */
  readonly end: number
  /** Index of the first record; 0 by default. */
  readonly at?: number
}

const none: ReadonlyMap<number, string> = new Map()

/**
 * The first slice of a fetched partition. It ends at the end of the fetched records, before the
 * next TRUNCATE or before the next repetition. A TRUNCATE at the beginning is a slice of its own.
 * @param before position of the last record before the fetched ones
 */
export function firstSlice(fetched: FetchedPartition, reading: SliceRules, before?: Position): Slice | undefined {
  return cut(fetched, reading, { before, end: Number.POSITIVE_INFINITY })
}

/** The fetched offsets below `end`, which have no records to insert. */
export function emptySlice(
  { topic, partition, records, fromOffset: start }: FetchedPartition,
  { end, before }: Bounds,
): Slice {
  return { topic, partition, start, end, records, from: 0, to: 0, truncate: false, foreign: none, lastPosition: before }
}

/**
 * Positions only grow within a partition. A record with a lower or equal position is a repetition:
 * a killed producer had sent it, and the broker appended it after the next producer had read the
 * end of the topic. A foreign record has no position, whatever its bytes are.
 */
function cut(fetched: FetchedPartition, { envelope, stopsAtForeign }: SliceRules, { before, end, at = 0 }: Bounds) {
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
  const lastPosition = lsn === -1 ? undefined : { lsn, ordinal }
  return { topic, partition, start, end: offsets[to - 1]! + 1, records, from, to, truncate, foreign, lastPosition }
}

/** All records below `end`, as consecutive slices. */
export function* slicesBelow(fetched: FetchedPartition, envelope: Envelope, bounds: Bounds): Generator<Slice> {
  const reading = { envelope, stopsAtForeign: false }
  for (let { before, at = 0 } = bounds; ; ) {
    const slice = cut(fetched, reading, { ...bounds, before, at })
    if (slice === undefined) return
    yield slice
    before = slice.lastPosition
    at = slice.to
  }
}

/** Two halves of a list of slices by number of records. The list has at least two records. */
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

/** Runs of the slice's records that millrace wrote. */
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

/** One text for a partition of a topic, as a key of maps. */
export function partitionKey(topic: string, partition: number): string {
  return `${topic}/${partition}`
}
