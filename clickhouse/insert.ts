// clickhouse/insert: the statement that turns wrapped records into rows of a changelog.

import type { ClickHouseSettings } from '@clickhouse/client'
import { avroName } from '../contract/names.ts'
import type { Table } from '../contract/table.ts'
import { clickhouseType } from '../contract/types.ts'
import { changelogColumns, changelogName, versionAt } from './ddl.ts'
import { quoteName, quoteString } from './quote.ts'

/** Rows and bytes that one insert must stay below to be written as one block, and so as one part in every table. */
const oneBlock = { rows: 4_000_000, bytes: 4_000_000_000 }

/** Records from which on several threads save more time than starting them costs; 0 lets ClickHouse choose their number. */
const severalThreads = 10_000

/**
 * Settings that make an insert a function of its bytes and its token alone; every one is pinned because defaults differ by
 * version, and a token guards a retry only while the block is cut the same way.
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
    // Adds up the rows of one key, and drops what came to nothing, so that a view of sums need not.
    optimize_on_insert: 1,
    max_threads: records < severalThreads ? 1 : 0,
    // A fold reads single keys of the other tables; handing each small read to a pool costs more than the read.
    local_filesystem_read_method: 'pread',
    // In the primary index, halves instead of eighths: fewer comparisons for keys that lie far from each other.
    merge_tree_coarse_index_granularity: '2',
    throw_on_max_partitions_per_insert_block: 0,
  }
}

/**
 * `INSERT … SELECT … FROM input(…) FORMAT Avro` for records made by AvroContainer: an update becomes two rows (−1 before, +1 after), a
 * delete one (−1), anything else one (+1). The database's Avro reader decodes; this process never does.
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
