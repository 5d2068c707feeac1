// consumer/insert/apply: inserts the queued slices of one table, and returns what is now in the
// changelog.

import { readPosition } from '../../contract/head.ts'
import type { FetchedPartition } from '../../kafka/consumer/fetcher.ts'
import type { Log } from '../../runtime/log.ts'
import { type Failures, retry } from '../../runtime/retry.ts'
import { countRecords, ownRuns, partitionKey, type Slice } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'
import { type LastRow, readLast } from './changelog.ts'
import type { Freshness } from './freshness.ts'
import { insertSlices, refuseForeign } from './insert.ts'
import type { Inserter } from './inserter.ts'
import { completeInsert } from './recover.ts'

export interface BatchWriter {
  readonly inserter: Inserter
  readonly tables: ReadonlyMap<string, TargetTable>
  readonly freshness: Freshness
  readonly log: Log
  readonly failures: Failures
}

/**
 * Call before records are cut into slices. The tables then recognize their own records by schema.
 */
export async function learnSchemas(
  { tables, log, failures }: BatchWriter,
  fetched: readonly FetchedPartition[],
  signal: AbortSignal,
): Promise<void> {
  const learn = async () => {
    for (const { topic, records } of fetched) await tables.get(topic)?.learn(records)
  }
  await retry(learn, { what: 'look up the schemas of records', signal, log, failures })
}

/**
 * By partition key, the last of the records that has rows in the changelog. A partition without
 * such a record has no entry.
 */
export type LastRecords = ReadonlyMap<string, LastRecord>

type LastRecord = Pick<LastRow, 'offset' | 'position'>

/**
 * Inserts slices of one table.
 * @param isRepeated an earlier attempt failed, and its outcome is unknown
 */
export async function applySlices(
  { inserter, freshness }: BatchWriter,
  table: TargetTable,
  { slices, isRepeated }: { slices: readonly Slice[]; isRepeated: boolean },
): Promise<LastRecords> {
  await refuseForeign(inserter, table, slices)
  const own = slices.flatMap(ownRuns)
  const inserted = await (isRepeated ? completeInsert : insertSlices)(inserter, table, own)
  table.inserted += countRecords(inserted)
  freshness.observe(inserted)
  const lasts = new Map<string, LastRecord>()
  const keep = ({ topic, partition }: Slice, last: LastRecord | undefined) => {
    const key = partitionKey(topic, partition)
    // An update of which ClickHouse refused one image is inserted last, with the other image,
    // whatever its offset.
    if (last !== undefined && last.offset > (lasts.get(key)?.offset ?? -1)) lasts.set(key, last)
  }
  // A TRUNCATE of an empty partition has no rows, and a repetition inserts only missing records.
  for (const slice of isRepeated ? own : inserted) {
    keep(
      slice,
      slice.truncate || isRepeated ? await readLast(inserter.clickhouse, table.table, below(slice)) : lastOf(slice),
    )
  }
  return lasts
}

function below({ partition, end }: Slice) {
  return { partition, below: end }
}

function lastOf({ records: { buffer, offsets, valueStarts, valueEnds }, to }: Slice): LastRecord {
  const position = readPosition(buffer, valueStarts[to - 1]!, valueEnds[to - 1]!)
  return { offset: offsets[to - 1]!, position }
}
