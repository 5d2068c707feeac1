// clickhouse/merge: parts that ClickHouse would leave beside each other for long, merged.

import type { Log } from '../runtime/log.ts'
import type { Clickhouse } from './client.ts'
import { quoteName, quoteString } from './quote.ts'

/** Of engines whose merges make rows fewer: what has not been merged, every reader adds up or sorts out again. */
const partitionsInParts = `SELECT parts.table AS table, parts.partition_id AS partition
FROM system.parts AS parts
INNER JOIN system.tables AS tables ON tables.database = parts.database AND tables.name = parts.table
WHERE parts.database = currentDatabase() AND parts.active AND tables.engine LIKE '%MergeTree' AND tables.engine != 'MergeTree'
GROUP BY table, partition
HAVING count() > 1`

/** Fewer rows cost a reader a few milliseconds: nothing is rewritten for them. */
export const fewestRows = 250_000
/** A part is rewritten for a quarter of its rows, whatever its size: five rows are written for each that it is done for. */
export const rowsPerGain = 4
/** Larger ones are left to ClickHouse. */
export const mostBytes = 50e9

/** The other parts together, against the largest. */
const hasGrown = `sum(rows) - max(rows) > greatest(${fewestRows}, max(rows) / ${rowsPerGain}) AND sum(bytes_on_disk) < ${mostBytes}`

/**
 * Merges every partition of the current database that stands in several parts and has rows to lose by it. A large load leaves parts that
 * ClickHouse takes for too large to merge soon; with them, reports take up to half as long again. Best effort: what cannot be merged is
 * logged, and a merge that takes longer than a request may goes on in the server.
 */
export async function mergeParts(clickhouse: Clickhouse, log: Log): Promise<void> {
  await mergeEach(clickhouse, partitionsInParts, { log, what: 'merged what the load left in parts' })
}

/** The same for partitions that have grown by more than a quarter since their largest part was written. Ends early, and silently, when aborted. */
export async function mergeGrown(clickhouse: Clickhouse, log: Log, signal: AbortSignal): Promise<void> {
  await mergeEach(clickhouse, `${partitionsInParts} AND ${hasGrown}`, {
    log,
    what: 'merged what has come since',
    signal,
  })
}

interface MergeOptions {
  readonly log: Log
  /** For the log, once it is done. */
  readonly what: string
  readonly signal?: AbortSignal
}

async function mergeEach(clickhouse: Clickhouse, select: string, { log, what, signal }: MergeOptions): Promise<void> {
  const started = performance.now()
  const partitions = await clickhouse.rows<{ table: string; partition: string }>(`${select} ORDER BY table, partition`)
  for (const { table, partition } of partitions) {
    if (signal?.aborted) return
    const statement = `OPTIMIZE TABLE ${quoteName(table)} PARTITION ID ${quoteString(partition)} FINAL`
    await clickhouse.command(statement).catch(error => {
      if (!signal?.aborted) log.warn('parts stay unmerged for now', { table, partition, reason: String(error) })
    })
  }
  if (partitions.length === 0) return
  log.info(what, { partitions: partitions.length, ms: Math.round(performance.now() - started) })
}
