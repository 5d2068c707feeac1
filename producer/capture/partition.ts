// producer/capture/partition: computes the partition of a row.
// The rows of a topic stay where this function put them, so it must never change.

import type { TextRow } from '../../contract/encode.ts'

/**
 * Partition of a row by the text of its partition key's columns: FNV-1a over each column's length
 * (as one 32-bit unit) and bytes, mixed by MurmurHash3's finaliser, modulo the number of
 * partitions. Equal keys of several tables give the same partition.
 * @see http://www.isthe.com/chongo/tech/comp/fnv/ and https://github.com/aappleby/smhasher (fmix32)
 */
export function partitionOf(row: TextRow, keyColumns: readonly number[], partitions: number): number {
  const { buffer, starts, ends } = row
  let hash = 0x811c9dc5
  for (let key = 0; key < keyColumns.length; key++) {
    const start = starts[keyColumns[key]!]!
    const end = ends[keyColumns[key]!]!
    hash = Math.imul(hash ^ (end - start), 0x01000193)
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ buffer[at]!, 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) % partitions
}

/** Whether two rows have the same text in these columns. */
export function sameText(a: TextRow, b: TextRow, columns: readonly number[]): boolean {
  for (let index = 0; index < columns.length; index++) {
    const column = columns[index]!
    let at = b.starts[column]!
    const start = a.starts[column]!
    const end = a.ends[column]!
    if (end - start !== b.ends[column]! - at) return false
    for (let from = start; from < end; from++) if (a.buffer[from] !== b.buffer[at++]) return false
  }
  return true
}
