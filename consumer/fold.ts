// consumer/fold: one batch into ClickHouse, and again if nobody knows whether it arrived.
// May know: clickhouse/{model,reconcile}, consumer/{freshness,insert,recover,slice,tables}.

import type { Model } from '../clickhouse/model.ts'
import { reconcile } from '../clickhouse/reconcile.ts'
import type { FetchedPartition } from '../kafka/fetch.ts'
import type { Log } from '../runtime/log.ts'
import { retry } from '../runtime/retry.ts'
import type { Freshness } from './freshness.ts'
import { type Inserter, insertSlices, setAsideForeign } from './insert.ts'
import { holdsAny, recoverSlices, waitForRunningInserts } from './recover.ts'
import { countRecords, ownRuns, type Slice, slicesOf } from './slice.ts'
import type { FoldTable } from './tables.ts'

export interface Folder {
  readonly inserter: Inserter
  readonly tables: ReadonlyMap<string, FoldTable>
  readonly model: Model | undefined
  readonly freshness: Freshness
  readonly log: Log
}

/** To be called before records are cut into slices, so that their tables know them from others'. */
export async function learnSchemas(
  { tables, log }: Folder,
  fetched: readonly FetchedPartition[],
  signal: AbortSignal,
): Promise<void> {
  const learn = async () => {
    for (const { topic, records } of fetched) await tables.get(topic)?.learn(records)
  }
  await retry(learn, { what: 'look up the schemas of records', signal, log })
}

/**
 * Inserts the slices, groups side by side, within a group table after table: each insert is a signed delta against the state of the
 * group's other tables at that moment, so nothing else may fold the same partitions of the group meanwhile.
 */
export async function foldBatch(folder: Folder, slices: readonly Slice[]): Promise<void> {
  await eachGroup(folder, slices, async batch => {
    for (const [table, own] of batch) {
      await setAsideForeign(folder.inserter, table, own)
      const inserted = await insertSlices(folder.inserter, table, own.flatMap(ownRuns))
      table.folded += countRecords(inserted)
      folder.freshness.observe(inserted)
    }
  })
}

export interface Circumstances {
  /** ClickHouse has been running since the batch was announced, so it knows what it has inserted. */
  readonly sameServer: boolean
  readonly soleMember: boolean
}

/**
 * The same for a batch that may have arrived in part. While the server runs, repeating it completes it. After a crash of the server a
 * materialized view's part can be missing although the changelog's is there, so aggregates are recomputed and corrected by the difference.
 */
export async function recoverBatch(
  folder: Folder,
  slices: readonly Slice[],
  { sameServer, soleMember }: Circumstances,
): Promise<void> {
  await waitForRunningInserts(folder.inserter)
  let certain = sameServer
  await eachGroup(folder, slices, async batch => {
    const reached = sameServer ? await lastReached(folder.inserter, batch) : 0
    for (const [table, slices] of batch.slice(reached)) {
      await setAsideForeign(folder.inserter, table, slices)
      const own = slices.flatMap(ownRuns)
      const complete = await recoverSlices(folder.inserter, table, own, sameServer)
      folder.freshness.observe(own)
      certain &&= complete
    }
  })
  if (certain || folder.model === undefined) return
  if (!soleMember) {
    folder.log.warn('aggregates are not reconciled while other members fold beside this one', {
      records: countRecords(slices),
    })
    return
  }
  const corrected = await reconcile(folder.inserter.clickhouse, folder.model)
  for (const [table, rows] of corrected) folder.log.warn('aggregate corrected after a recovered batch', { table, rows })
}

/**
 * Place of the last table of a group that any of the batch has reached; 0 when none has. The tables before it were inserted whole, or it
 * would not have been begun; to send them again would fold them against the state that this batch has made since.
 */
async function lastReached(inserter: Inserter, batch: readonly TableSlices[]): Promise<number> {
  for (let place = batch.length - 1; place > 0; place--) {
    const [table, own] = batch[place]!
    if (await holdsAny(inserter, table, own)) return place
  }
  return 0
}

type TableSlices = readonly [FoldTable, readonly Slice[]]

/**
 * Does the work for each group's part of the batch, all at once, and waits for all of it before it throws what went wrong first. The
 * order of a group's tables is always the same, so that whoever completes a batch goes the way of the first attempt.
 */
async function eachGroup(
  folder: Folder,
  slices: readonly Slice[],
  work: (batch: readonly TableSlices[]) => Promise<void>,
): Promise<void> {
  const groups = new Map<string, TableSlices[]>()
  for (const [topic, table] of folder.tables) {
    const own = slicesOf(topic, slices)
    if (own.length > 0) groups.set(table.group, [...(groups.get(table.group) ?? []), [table, own]])
  }
  const outcomes = await Promise.allSettled([...groups.values()].map(work))
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}
