// clickhouse/merge: merges parts that ClickHouse would leave unmerged for a long time.

import type { Log } from '../runtime/log.ts'
import type { Clickhouse } from './client.ts'
import { quoteName, quoteString } from './quote.ts'

/**
 * Partitions with several parts, of engines that remove rows in merges. Every reader must combine
 * unmerged rows again.
 */
const partitionsInParts = `SELECT parts.table AS table, parts.partition_id AS partition
FROM system.parts AS parts
INNER JOIN system.tables AS tables ON tables.database = parts.database AND tables.name = parts.table
WHERE parts.database = currentDatabase() AND parts.active AND tables.engine LIKE '%MergeTree' AND tables.engine != 'MergeTree'
GROUP BY table, partition
HAVING count() > 1`

/** Below this number, unmerged rows cost a reader a few milliseconds, so no part is rewritten. */
export const fewestRows = 250_000
/**
 * A part is rewritten when the new rows are a quarter of its rows: five rows are written for each
 * new one.
 */
export const rowsPerGain = 4
/** ClickHouse itself merges partitions with more bytes. */
export const mostBytes = 50e9

/** Compares the rows outside the largest part with those of the largest part. */
const hasGrown = `sum(rows) - max(rows) > greatest(${fewestRows}, max(rows) / ${rowsPerGain}) AND sum(bytes_on_disk) < ${mostBytes}`

/**
 * Merges every partition of the current database that has several parts, of engines that remove
 * rows in merges. A large load leaves parts that ClickHouse considers too large to merge soon. With
 * them, reports take up to 1.5 times as long. A failed merge is logged. A merge that takes longer
 * than a request continues in the server.
 */
export async function mergeParts(clickhouse: Clickhouse, log: Log): Promise<void> {
  await mergeEach(clickhouse, partitionsInParts, { log, what: 'merged the parts of the load' })
}

/**
 * Merges partitions that have grown by more than a quarter of their largest part. Returns early
 * when aborted.
 */
export async function mergeGrown(clickhouse: Clickhouse, log: Log, signal: AbortSignal): Promise<void> {
  await mergeEach(clickhouse, `${partitionsInParts} AND ${hasGrown}`, {
    log,
    what: 'merged new parts',
    signal,
  })
}

interface MergeOptions {
  readonly log: Log
  /** Log message after the merges. */
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
      if (!signal?.aborted) log.warn('parts could not be merged', { table, partition, reason: String(error) })
    })
  }
  if (partitions.length === 0) return
  log.info(what, { partitions: partitions.length, ms: Math.round(performance.now() - started) })
}
