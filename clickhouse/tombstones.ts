// clickhouse/tombstones: removes old tombstones from current states when no older image of their
// key is left.

import type { Log } from '../runtime/log.ts'
import type { Clickhouse } from './client.ts'
import { versionAt } from './ddl.ts'
import { fewestRows, mostBytes, rowsPerGain } from './merge.ts'
import { quoteName, quoteString } from './quote.ts'

/** The age of tombstones and parts from which on tombstones are removed. */
export interface TombstoneBounds {
  /** LSN. Tombstones of changes at or above it are kept. */
  readonly below: string
  /**
   * By the clock of ClickHouse, text of a DateTime in UTC. Parts that were written later are not
   * changed.
   */
  readonly writtenBefore: string
}

/** The oldest part of a partition, which is usually the largest one. */
interface FirstPart {
  readonly table: string
  /** Columns, quoted. */
  readonly key: string
  readonly partition: string
  readonly part: string
  readonly rows: string
}

/** Parts of level 0 are unmerged, and may have several rows of one key. */
const firstParts = `SELECT parts.table AS table, any(tables.sorting_key) AS key, parts.partition_id AS partition,
  argMin(parts.name, min_block_number) AS part, toString(argMin(parts.rows, min_block_number)) AS rows
FROM system.parts AS parts
INNER JOIN system.tables AS tables ON tables.database = parts.database AND tables.name = parts.table
WHERE parts.database = currentDatabase() AND parts.active
  AND startsWith(tables.engine_full, 'ReplacingMergeTree(_version, _deleted)')
  AND parts.table NOT IN (SELECT table FROM system.mutations WHERE database = currentDatabase() AND NOT is_done)
GROUP BY table, partition
HAVING argMin(level, min_block_number) > 0 AND argMin(parts.rows, min_block_number) > ${fewestRows}
  AND argMin(bytes_on_disk, min_block_number) < ${mostBytes}
  AND argMin(modification_time, min_block_number) < toDateTime({writtenBefore:String}, 'UTC')
ORDER BY table, partition`

/**
 * Deletes old tombstones that are more than a quarter of a part. If another part has an older image
 * of one of their keys, nothing is deleted until a merge has removed it. A failure is logged.
 * Returns early when aborted.
 */
export async function removeTombstones(
  clickhouse: Clickhouse,
  bounds: TombstoneBounds,
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<void> {
  const parts = await clickhouse.rows<FirstPart>(firstParts, { writtenBefore: bounds.writtenBefore })
  for (const first of parts) {
    if (signal.aborted) return
    await removeFrom(clickhouse, first, bounds, log).catch(error => {
      if (!signal.aborted) log.warn('tombstones could not be removed', { table: first.table, reason: String(error) })
    })
  }
}

async function removeFrom(
  clickhouse: Clickhouse,
  { table, key, partition, part, rows }: FirstPart,
  { below }: TombstoneBounds,
  log: Log,
): Promise<void> {
  const started = performance.now()
  const name = quoteName(table)
  const isOld = `_version < ${versionAt(below, 0)}`
  // The newest row of each Kafka partition is kept. It shows how far the current state has come.
  const condition = `_part = ${quoteString(part)} AND _deleted = 1 AND ${isOld}
  AND (_partition, _version) NOT IN (SELECT _partition, max(_version) FROM ${name} GROUP BY _partition)`
  const [found] = await clickhouse.rows<{ old: string; needed: string }>(
    `SELECT count() AS old,
  countIf((${key}) IN (SELECT ${key} FROM ${name} WHERE _part != ${quoteString(part)} AND _deleted = 0 AND ${isOld})) AS needed
FROM ${name} WHERE ${condition}`,
  )
  if (Number(found!.old) <= Math.max(fewestRows, Number(rows) / rowsPerGain) || found!.needed !== '0') return
  // Only in this part. After a merge the part has another name, and nothing is deleted.
  await clickhouse.command(`ALTER TABLE ${name} DELETE IN PARTITION ID ${quoteString(partition)} WHERE ${condition}`, {
    mutations_sync: '1',
  })
  const ms = Math.round(performance.now() - started)
  log.info('removed old tombstones', { table, rows: found!.old, ms })
}
