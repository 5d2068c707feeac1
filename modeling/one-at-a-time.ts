// modeling/one-at-a-time: statements that write to an aggregate, one after the other in the whole
// server.

import type { ClickHouseSettings } from '@clickhouse/client'
import type { Clickhouse } from '../clickhouse/client.ts'
import { exceptionCode } from '../clickhouse/errors.ts'
import { sleep } from '../runtime/wait.ts'
import type { Aggregate } from './aggregate.ts'
import { movedMessage } from './position.ts'

/** More rows or bytes than any insert has, so that it becomes one block, and so one part. */
const unlimited = '1000000000000000'

/**
 * With these settings a fold is one part, is never taken for a repetition, and sees one snapshot of
 * each table. They do not depend on defaults, which differ by version.
 */
export const foldSettings: ClickHouseSettings = {
  async_insert: 0,
  insert_deduplicate: 0,
  deduplicate_insert: 'disable',
  deduplicate_insert_select: 'disable',
  insert_deduplication_token: '',
  max_insert_threads: '1',
  max_block_size: '4000000',
  max_insert_block_size: '4000000',
  min_insert_block_size_rows: unlimited,
  min_insert_block_size_bytes: unlimited,
  optimize_on_insert: 1,
  enable_shared_storage_snapshot_in_query: 1,
  replace_running_query: 0,
  enable_global_with_statement: 1,
  join_use_nulls: 0,
  group_by_use_nulls: 0,
  prefer_column_name_to_alias: 0,
  union_default_mode: 'ALL',
  local_filesystem_read_method: 'pread',
  merge_tree_coarse_index_granularity: '2',
}

/** Exceptions of ClickHouse. */
const sameQueryId = 216
const thrownByFunction = 395

/** The server frees a query id a little after it has answered. */
const askEveryMs = 3

/** What one statement did. */
export type Outcome = 'done' | 'moved'

/**
 * Runs a statement while no other one writes to the aggregate, whichever client sent it, and even
 * when that client is gone. The server itself excludes them, by their query id.
 * @returns `moved` when the markers are not those that the statement expects: it wrote nothing
 */
export async function runAlone(
  clickhouse: Clickhouse,
  { database, name }: Pick<Aggregate, 'database' | 'name'>,
  { sql, settings = {}, signal }: { sql: string; settings?: ClickHouseSettings; signal: AbortSignal },
): Promise<Outcome> {
  for (;;) {
    signal.throwIfAborted()
    try {
      await clickhouse.command(sql, { ...foldSettings, ...settings }, `fold-${database}-${name}`)
      return 'done'
    } catch (error) {
      const code = exceptionCode(error)
      if (code === thrownByFunction && String(error).includes(movedMessage)) return 'moved'
      if (code !== sameQueryId) throw error
    }
    await sleep(askEveryMs, signal)
  }
}
