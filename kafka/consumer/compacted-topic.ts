// kafka/consumer/compacted-topic: the last value of every key of a small one-partition topic.

import type { Fetcher } from './fetcher.ts'
import { readRange } from './read-range.ts'

/**
 * Reads the topic up to its current end. A null value removes its key.
 * @returns key → value, as UTF-8 text, in the order in which the keys were last written
 * @throws {MillraceError} as `Fetcher.fetch`; the signal's reason
 */
export async function readCompacted(
  fetcher: Fetcher,
  topic: string,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const values = new Map<string, string>()
  const [end = 0] = await fetcher.endOffsets(topic, signal)
  const [start = 0] = await fetcher.startOffsets(topic, signal)
  for await (const records of readRange(fetcher, { topic, partition: 0, start, end }, signal)) {
    for (let index = 0; index < records.count; index++) {
      const key = records.buffer.toString('utf8', records.keyStarts[index], records.keyEnds[index])
      values.delete(key)
      if (records.valueStarts[index] !== -1) {
        values.set(key, records.buffer.toString('utf8', records.valueStarts[index], records.valueEnds[index]))
      }
    }
  }
  return values
}
