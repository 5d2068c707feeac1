// consumer/records/images: turns one image of an update into a record of its own.
// Pure.

import type { Envelope } from '../../contract/envelope.ts'
import type { Slice } from './slice.ts'

export type Image = 'before' | 'after'

const nullBranch = Buffer.from([0])
const valueBranch = Buffer.from([2])

/** The images of the record of a slice of one, in the order of their insertion. */
export function imagesOf({ records, from }: Slice, envelope: Envelope): Image[] {
  const { buffer, keyStarts, keyEnds, valueStarts, valueEnds } = records
  envelope.read(buffer, keyStarts[from]!, keyEnds[from]!, valueStarts[from]!, valueEnds[from]!)
  const images: Image[] = []
  if (envelope.beforeStart !== -1) images.push('before')
  if (envelope.afterStart !== -1) images.push('after')
  return images
}

/**
 * One half of an update: the delete of the old row or the create of the new row, at the same offset
 * and position.
 */
export function imageRecord(slice: Slice, image: Image, envelope: Envelope): Slice {
  const { records, from } = slice
  const { buffer, keyStarts, keyEnds, valueStarts } = records
  imagesOf(slice, envelope)
  const { opAt, beforeStart, beforeEnd, afterStart, afterEnd } = envelope
  const start = valueStarts[from]!
  // The byte before the old row is the branch of its union.
  const head = Buffer.from(buffer.subarray(start, beforeStart - 1))
  head[opAt - start] = (image === 'before' ? 'd' : 'c').charCodeAt(0)
  const key = buffer.subarray(keyStarts[from], keyEnds[from])
  const images =
    image === 'before'
      ? [valueBranch, buffer.subarray(beforeStart, beforeEnd), nullBranch]
      : [nullBranch, valueBranch, buffer.subarray(afterStart, afterEnd)]
  const bytes = Buffer.concat([key, head, ...images])
  return {
    ...slice,
    image,
    from: 0,
    to: 1,
    records: {
      count: 1,
      buffer: bytes,
      offsets: records.offsets.slice(from, from + 1),
      timestamps: records.timestamps.slice(from, from + 1),
      keyStarts: Int32Array.of(0),
      keyEnds: Int32Array.of(key.length),
      valueStarts: Int32Array.of(key.length),
      valueEnds: Int32Array.of(bytes.length),
      nextOffset: records.offsets[from]! + 1,
    },
  }
}
