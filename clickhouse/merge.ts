// clickhouse/merge: the parts that a load leaves behind, merged once.
// May know: clickhouse/{client,quote}, runtime/log.

import type { Log } from '../runtime/log.ts'
import type { Clickhouse } from './client.ts'
import { quoteName, quoteString } from './quote.ts'

/** Of engines whose merges make rows fewer: what has not been merged, every reader adds up or sorts out again. */
const partitionsInParts = `SELECT parts.table AS table, parts.partition_id AS partition
FROM system.parts AS parts
INNER JOIN system.tables AS tables ON tables.database = parts.database AND tables.name = parts.table
WHERE parts.database = currentDatabase() AND parts.active AND tables.engine LIKE '%MergeTree' AND tables.engine != 'MergeTree'
GROUP BY table, partition
HAVING count() > 1
ORDER BY table, partition`

/**
 * Merges every partition of the current database that stands in several parts and has rows to lose by it. A large load leaves parts that
 * ClickHouse takes for too large to merge soon; with them, reports take up to half as long again. Best effort: what cannot be merged is
 * logged, and a merge that takes longer than a request may goes on in the server.
 */
export async function mergeParts(clickhouse: Clickhouse, log: Log): Promise<void> {
  const started = performance.now()
  const partitions = await clickhouse.rows<{ table: string; partition: string }>(partitionsInParts)
  for (const { table, partition } of partitions) {
    const statement = `OPTIMIZE TABLE ${quoteName(table)} PARTITION ID ${quoteString(partition)} FINAL`
    await clickhouse.command(statement).catch(error => {
      log.warn('parts of the load stay unmerged for now', { table, partition, reason: String(error) })
    })
  }
  log.info('merged what the load left in parts', {
    partitions: partitions.length,
    ms: Math.round(performance.now() - started),
  })
}
