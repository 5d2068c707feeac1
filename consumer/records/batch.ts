// consumer/records/batch: what is inserted together, and completed together by whoever finds it open.
// Pure.

import { batchName } from './insert-intent.ts'
import type { Slice } from './slice.ts'
import type { TargetTable } from './tables.ts'

/** Slices of one group. Its partitions are announced in one commit, so either all of them carry the intent or none does. */
export interface Batch {
  readonly name: string
  readonly group: string
  readonly slices: readonly Slice[]
}

/** A commit takes about 250 bytes of each partition, and the brokers' log of commits takes 1 MB at once by default. */
export const mostPartitions = 2_000

/** By group; a group with more partitions than one commit takes is cut by their numbers, as same-numbered partitions belong together. */
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
