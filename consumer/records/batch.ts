// consumer/records/batch: the records that are inserted together, and completed together after a
// crash.
// Pure.

import { batchName } from './insert-intent.ts'
import type { Slice } from './slice.ts'
import type { TargetTable } from './tables.ts'

/**
 * Slices of one group. One commit announces all its partitions, so either all of them have the
 * intent or none has.
 */
export interface Batch {
  readonly name: string
  readonly group: string
  readonly slices: readonly Slice[]
}

/**
 * Partitions per commit. Each takes about 250 bytes, and the brokers' topic of offsets takes 1 MB
 * per batch by default.
 */
export const mostPartitions = 2_000

/**
 * One batch per group. A group with more partitions than one commit takes is divided by partition
 * numbers, because partitions of the same number belong together.
 */
export function cutBatches(slices: readonly Slice[], tables: ReadonlyMap<string, Pick<TargetTable, 'group'>>): Batch[] {
  const groups = new Map<string, Slice[]>()
  for (const slice of slices) {
    const { group } = tables.get(slice.topic)!
    const own = groups.get(group)
    if (own) own.push(slice)
    else groups.set(group, [slice])
  }
  return [...groups].flatMap(([group, own]) => cut(own).map(part => ({ name: batchName(part), group, slices: part })))
}

function cut(slices: readonly Slice[]): Slice[][] {
  if (slices.length <= mostPartitions) return [[...slices]]
  const numbers = new Map<number, Slice[]>()
  for (const slice of slices) numbers.set(slice.partition, [...(numbers.get(slice.partition) ?? []), slice])
  const parts: Slice[][] = []
  for (const own of numbers.values()) {
    const last = parts.at(-1)
    if (last === undefined || last.length + own.length > mostPartitions) parts.push([...own])
    else last.push(...own)
  }
  return parts
}
