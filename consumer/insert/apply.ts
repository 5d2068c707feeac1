// consumer/insert/apply: inserts one batch into ClickHouse, or completes a batch that may be there
// in part.

import { readPosition } from '../../contract/head.ts'
import type { FetchedPartition } from '../../kafka/consumer/fetcher.ts'
import type { Model } from '../../modeling/model.ts'
import type { Log } from '../../runtime/log.ts'
import { type Failures, retry } from '../../runtime/retry.ts'
import type { Batch } from '../records/batch.ts'
import { countRecords, inOrder, ownRuns, partitionKey, type Slice } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'
import type { Uncertainty } from '../warehouse/uncertain.ts'
import { holdsAny, type LastRow, readLast } from './changelog.ts'
import type { Freshness } from './freshness.ts'
import { type Inserter, insertSlices, refuseForeign } from './insert.ts'
import { type RecoveryContext, recoverSlices, waitForRunningInserts } from './recover.ts'

export interface BatchWriter {
  readonly inserter: Inserter
  readonly tables: ReadonlyMap<string, TargetTable>
  readonly model: Model | undefined
  readonly freshness: Freshness
  readonly log: Log
  readonly failures: Failures
  /** As ClickHouse holds it, read periodically. */
  uncertainty: Uncertainty | undefined
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

/** A batch's part of one table. */
type TableSlices = readonly [TargetTable, readonly Slice[]]

/**
 * By partition key, the batch's last record that has rows in the changelog. A partition without
 * such a record has no entry.
 */
export type LastRecords = ReadonlyMap<string, LastRecord>

type LastRecord = Pick<LastRow, 'offset' | 'position'>

/**
 * Inserts a batch, table after table. Views compute each insert against the current state of the
 * group's other tables. So nothing else may insert into the same partitions of the group meanwhile.
 */
export async function applyBatch(writer: BatchWriter, batch: Batch): Promise<LastRecords> {
  const { inserter, freshness } = writer
  const lasts = new Map<string, LastRecord>()
  for (const [table, own] of tablesOf(writer, batch)) {
    await refuseForeign(inserter, table, own)
    const inserted = await insertSlices(inserter, table, own.flatMap(ownRuns))
    table.inserted += countRecords(inserted)
    freshness.observe(inserted)
    for (const slice of inserted) {
      // A TRUNCATE of an empty partition has no rows.
      const last = slice.truncate ? await readLast(inserter.clickhouse, table.table, below(slice)) : lastOf(slice)
      const key = partitionKey(slice.topic, slice.partition)
      // An update of which ClickHouse refused one image is inserted last, with the other image,
      // whatever its offset.
      if (last !== undefined && last.offset > (lasts.get(key)?.offset ?? -1)) lasts.set(key, last)
    }
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

/**
 * Completes a batch that may be in ClickHouse in part.
 * @returns also whether the aggregates are certain; otherwise they may lack the batch or count it
 *   twice
 */
export async function recoverBatch(
  writer: BatchWriter,
  batch: Batch,
  recovery: RecoveryContext,
): Promise<{ certain: boolean; lasts: LastRecords }> {
  const { inserter, freshness } = writer
  await waitForRunningInserts(inserter)
  const tables = tablesOf(writer, batch)
  const isPast = recovery.isPast || (await isBehindAny(inserter, tables))
  const begin = recovery.sameServer && !isPast ? await lastStarted(inserter, tables) : 0
  let certain = true
  const lasts = new Map<string, LastRecord>()
  for (const [place, [table, slices]] of tables.entries()) {
    await refuseForeign(inserter, table, slices)
    const own = slices.flatMap(ownRuns)
    if (place >= begin) {
      const complete = await recoverSlices(inserter, table, own, { ...recovery, isPast })
      freshness.observe(own)
      certain &&= complete
    }
    for (const slice of slices) {
      const last = await readLast(inserter.clickhouse, table.table, below(slice))
      if (last !== undefined) lasts.set(partitionKey(slice.topic, slice.partition), last)
    }
  }
  return { certain, lasts }
}

/**
 * Whether a changelog holds records after the batch. Such records are inserted only after the whole
 * batch.
 */
async function isBehindAny({ clickhouse }: Inserter, tables: readonly TableSlices[]): Promise<boolean> {
  for (const [{ table }, behind] of tables) {
    if (await holdsAny(clickhouse, table, { slices: [], behind })) return true
  }
  return false
}

/**
 * Place of the last table of the group that holds a row of the batch; 0 when none does. The tables
 * before it were inserted as a whole. Sending them again would compute their views against a state
 * that already contains the batch.
 */
async function lastStarted({ clickhouse }: Inserter, tables: readonly TableSlices[]): Promise<number> {
  for (let place = tables.length - 1; place > 0; place--) {
    const [{ table }, slices] = tables[place]!
    if (await holdsAny(clickhouse, table, { slices })) return place
  }
  return 0
}

/**
 * The order of a group's tables never changes, so a completed batch is inserted in the order of its
 * first attempt.
 */
function tablesOf({ tables }: BatchWriter, { slices }: Batch): TableSlices[] {
  const byTable = new Map<TargetTable, Slice[]>()
  for (const slice of slices) {
    const table = tables.get(slice.topic)!
    byTable.set(table, [...(byTable.get(table) ?? []), slice])
  }
  return [...byTable].sort(([a], [b]) => a.place - b.place).map(([table, own]) => [table, inOrder(own)])
}
