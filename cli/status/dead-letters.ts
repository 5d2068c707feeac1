// cli/status/dead-letters: counts the dead letters of each table.

import type { DeadLetter } from '../../contract/dead-letter.ts'
import type { Fetcher } from '../../kafka/consumer/fetcher.ts'
import { readRange } from '../../kafka/consumer/read-range.ts'
import type { RecordSet } from '../../kafka/protocol/record-batch.ts'

/** Limits of the dead letters that are read: their number and their bytes per writer. */
const mostLetters = 1_000
const mostBytes = 16 * 1024 * 1024

export interface DeadLetterCounts {
  readonly all: number
  /** Number of newest dead letters that were read. */
  readonly looked: number
  /** The dead letters that were read, by table. */
  readonly tables: Readonly<Record<string, number>>
}

/** @throws {MillraceError} as `Fetcher.fetch`; the signal's reason */
export async function countDeadLetters(
  fetcher: Fetcher,
  topic: string,
  signal: AbortSignal,
): Promise<DeadLetterCounts> {
  const [ranges] = await fetcher.ranges([topic], signal)
  const tables = new Map<string, number>()
  let looked = 0
  for (const [partition, { start: first, end }] of ranges!.entries()) {
    const start = Math.max(first, end - mostLetters)
    let bytes = 0
    for await (const records of readRange(fetcher, { topic, partition, start, end }, signal)) {
      for (const table of tablesOf(records)) {
        tables.set(table, (tables.get(table) ?? 0) + 1)
        looked++
      }
      bytes += records.buffer.length
      if (bytes > mostBytes) break
    }
  }
  const all = ranges!.reduce((sum, { start, end }) => sum + end - start, 0)
  return { all, looked, tables: Object.fromEntries([...tables].sort(([, one], [, other]) => other - one)) }
}

function tablesOf({ count, buffer, valueStarts, valueEnds }: RecordSet): string[] {
  return Array.from({ length: count }, (_, index) => {
    const { schema, table } = parse(buffer.toString('utf8', valueStarts[index], valueEnds[index]))
    return schema === undefined || table === undefined ? 'no table' : `${schema}.${table}`
  })
}

/** Other programs can write to the topic, so a value may not be a letter. */
function parse(text: string): Partial<DeadLetter> {
  try {
    return (JSON.parse(text) ?? {}) as Partial<DeadLetter>
  } catch {
    return {}
  }
}
