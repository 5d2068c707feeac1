// consumer/slice: which records a batch consists of.
// May know: contract, kafka/record-batch (the shape of fetched records). Pure.

import { readPosition } from '../contract/head.ts'
import { comparePositions, type Position } from '../contract/position.ts'
import type { FetchedPartition } from '../kafka/fetch.ts'
import type { RecordSet } from '../kafka/record-batch.ts'

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
  /** Position of the last record; undefined when none before it had one that could be read. */
  readonly reached: Position | undefined
}

/** Truncates are the only records without a key. */
function isTruncate(records: RecordSet, index: number): boolean {
  return records.keyStarts[index] === -1
}

/** Undefined for a record that is not ours: it is set aside later, with a reason. */
function positionOf({ buffer, valueStarts, valueEnds }: RecordSet, index: number): Position | undefined {
  try {
    return readPosition(buffer, valueStarts[index]!, valueEnds[index]!)
  } catch {
    return undefined
  }
}

/**
 * Positions only grow within a partition. One that does not is a repetition: a producer that was killed had records on their way, which
 * the broker appended only after its successor had looked where the topic ends.
 */
function isRepeated(position: Position | undefined, reached: Position | undefined): boolean {
  return position !== undefined && reached !== undefined && comparePositions(position, reached) <= 0
}

/** The first record that repeats nothing; `count` when there is none. */
function skipRepeated(records: RecordSet, reached: Position | undefined): number {
  let index = 0
  while (index < records.count && isRepeated(positionOf(records, index), reached)) index++
  return index
}

/**
 * The first slice of a fetched partition: up to its end, to the next truncate or to the next repetition, or a truncate alone.
 * @param before position of the last record before what was fetched
 */
export function firstSlice(fetched: FetchedPartition, before?: Position): Slice | undefined {
  const { topic, partition, records, fromOffset } = fetched
  const from = skipRepeated(records, before)
  if (from === records.count) return undefined
  const truncate = isTruncate(records, from)
  let reached = positionOf(records, from) ?? before
  let to = from + 1
  while (!truncate && to < records.count && !isTruncate(records, to)) {
    const position = positionOf(records, to)
    if (isRepeated(position, reached)) break
    reached = position ?? reached
    to++
  }
  const end = records.offsets[to - 1]! + 1
  return { topic, partition, start: fromOffset, end, records, from, to, truncate, reached }
}

/** The offset range from where was fetched to `end`; undefined when not all of it is there yet. */
export function sliceOfRange(fetched: FetchedPartition, end: number, before?: Position): Slice | undefined {
  const { topic, partition, records, fromOffset: start } = fetched
  if (records.count === 0 || records.offsets[records.count - 1]! + 1 < end) return undefined
  const from = skipRepeated(records, before)
  let to = from
  let reached = before
  for (; to < records.count && records.offsets[to]! < end; to++) reached = positionOf(records, to) ?? reached
  const truncate = to - from === 1 && isTruncate(records, from)
  return { topic, partition, start, end, records, from, to, truncate, reached }
}

/**
 * The topic's slices by partition, in whatever order they were fetched: a fetch begins with another partition each time, and who completes
 * a batch must send the same bytes under the same token.
 */
export function slicesOf(topic: string, slices: readonly Slice[]): Slice[] {
  return slices.filter(slice => slice.topic === topic).sort((a, b) => a.partition - b.partition)
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

/** Runs of the slice's records whose offsets are not in `present`. */
export function withoutOffsets(slice: Slice, present: ReadonlySet<number>): Slice[] {
  const runs: Slice[] = []
  let from = slice.from
  for (let index = slice.from; index <= slice.to; index++) {
    if (index < slice.to && !present.has(slice.records.offsets[index]!)) continue
    if (index > from) runs.push({ ...slice, from, to: index })
    from = index + 1
  }
  return runs
}

export function countRecords(slices: readonly Slice[]): number {
  return slices.reduce((sum, slice) => sum + slice.to - slice.from, 0)
}
