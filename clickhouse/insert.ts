// clickhouse/insert: the statement and the settings that insert records into a changelog.

import type { ClickHouseSettings } from '@clickhouse/client'
import { avroName } from '../contract/names.ts'
import type { Table } from '../contract/table.ts'
import { clickhouseType } from '../contract/types.ts'
import { changelogColumns, changelogName, versionAt } from './ddl.ts'
import { quoteName, quoteString } from './quote.ts'

/**
 * Below these rows and bytes, ClickHouse writes an insert as one block, and so as one part in each
 * table.
 */
const oneBlock = { rows: 4_000_000, bytes: 4_000_000_000 }

/**
 * From this many records on, several threads are faster. With `max_threads` 0, ClickHouse chooses
 * their number.
 */
const severalThreads = 10_000

/**
 * With these settings, the result of an insert depends on its bytes and its token alone. Defaults
 * differ by version, so all settings are given. A token protects a retry only if ClickHouse cuts
 * the data into the same blocks.
 * @see https://clickhouse.com/docs/guides/developer/deduplicating-inserts-on-retries
 */
export function insertSettings(token: string, records: number): ClickHouseSettings {
  return {
    async_insert: 0,
    insert_deduplicate: 1,
    insert_deduplication_token: token,
    deduplicate_blocks_in_dependent_materialized_views: 1,
    max_insert_threads: '1',
    input_format_parallel_parsing: 0,
    input_format_null_as_default: 1,
    max_block_size: String(oneBlock.rows),
    max_insert_block_size: String(oneBlock.rows),
    min_insert_block_size_rows: String(oneBlock.rows),
    min_insert_block_size_bytes: String(oneBlock.bytes),
    parallel_view_processing: 1,
    // ClickHouse adds up the rows of one key and drops sums of zero, so a view of sums need not do
    // it.
    optimize_on_insert: 1,
    max_threads: records < severalThreads ? 1 : 0,
    // Views read single keys of other tables. Handing each small read to a pool of threads costs
    // more than the read.
    local_filesystem_read_method: 'pread',
    // Divides ranges of the primary index by 2 instead of 8: fewer comparisons for keys that are
    // far apart.
    merge_tree_coarse_index_granularity: '2',
    throw_on_max_partitions_per_insert_block: 0,
  }
}

/**
 * `INSERT … SELECT … FROM input(…) FORMAT Avro` for records of an AvroContainer. An update becomes
 * two rows (−1 before, +1 after), a delete one row (−1), any other operation one row (+1).
 * ClickHouse decodes the records; this process does not.
 * @param target a table with a changelog's columns
 */
export function insertStatement(table: Table, target = changelogName(table)): string {
  const row = `Tuple(${table.columns.map(column => `${quoteName(avroName(column.name))} ${clickhouseType(column)}`).join(', ')})`
  const source =
    'Tuple(lsn UInt64, ordinal UInt64, txId Int64, ts_us Int64, snapshot Bool, schema String, `table` String)'
  const structure = `partition Int32, offset UInt64, record Tuple(source ${source}, op String, ts_ms Int64, before ${row}, after ${row})`
  const own = table.columns.map(column => `tupleElement(_image.2, ${quoteString(avroName(column.name))})`)
  const names = [...table.columns.map(column => column.name), ...changelogColumns.map(([name]) => name)]
  return `INSERT INTO ${quoteName(target)} (${names.map(quoteName).join(', ')})
SELECT ${own.join(', ')},
  _image.1, record.op, record.source.lsn, record.source.ordinal,
  ${versionAt('record.source.lsn', 'record.source.ordinal')},
  partition, offset, fromUnixTimestamp64Micro(record.source.ts_us, 'UTC')
FROM (
  SELECT *, arrayJoin(multiIf(
    record.op = 'u', [(toInt8(-1), record.before), (toInt8(1), record.after)],
    record.op = 'd', [(toInt8(-1), record.before)],
    [(toInt8(1), record.after)])) AS _image
  FROM input(${quoteString(structure)})
)
FORMAT Avro`
}
