// test/support/record-set: records without keys, as they come out of a fetch.

import type { RecordSet } from '../../kafka/protocol/record-batch.ts'

/** At the offsets from 0 on. */
export function recordSetOf(values: readonly Buffer[]): RecordSet {
  const ends: number[] = []
  for (const value of values) ends.push((ends.at(-1) ?? 0) + value.length)
  const count = values.length
  return {
    count,
    buffer: Buffer.concat(values),
    offsets: Float64Array.from(values.keys()),
    timestamps: new Float64Array(count),
    keyStarts: new Int32Array(count).fill(-1),
    keyEnds: new Int32Array(count),
    valueStarts: Int32Array.from(values, ({ length }, index) => ends[index]! - length),
    valueEnds: Int32Array.from(ends),
    nextOffset: count,
  }
}
