// consumer/slice: which records a batch consists of.
// May know: kafka/record-batch (the shape of fetched records). Pure.

import type { FetchedPartition } from '../kafka/fetch.ts'
import type { RecordSet } from '../kafka/record-batch.ts'

/**
 * Records `from` (inclusive) to `to` (exclusive) of one fetched partition. They are all the records in the offset range
 * [start, end), so the range alone, written down as an intent, is enough to read the same records again.
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
}

/** Truncates are the only records without a key. */
function isTruncate(records: RecordSet, index: number): boolean {
  return records.keyStarts[index] === -1
}

/** The first slice of a fetched partition: up to its end, or up to the next truncate, or that truncate alone. */
export function firstSlice(fetched: FetchedPartition): Slice | undefined {
  const { topic, partition, records, fromOffset } = fetched
  if (records.count === 0) return undefined
  const truncate = isTruncate(records, 0)
  let to = 1
  if (!truncate) while (to < records.count && !isTruncate(records, to)) to++
  const end = records.offsets[to - 1]! + 1
  return { topic, partition, start: fromOffset, end, records, from: 0, to, truncate }
}

/** The offset range from where was fetched to `end`; undefined when not all of it is there yet. */
export function sliceOfRange(fetched: FetchedPartition, end: number): Slice | undefined {
  const { topic, partition, records, fromOffset: start } = fetched
  if (records.count === 0 || records.offsets[records.count - 1]! + 1 < end) return undefined
  let to = 0
  while (to < records.count && records.offsets[to]! < end) to++
  return { topic, partition, start, end, records, from: 0, to, truncate: to === 1 && isTruncate(records, 0) }
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
