// clickhouse/insert: the statement and the settings that insert records into a changelog.

import type { ClickHouseSettings } from '@clickhouse/client'
import { avroName } from '../contract/names.ts'
import type { Table } from '../contract/table.ts'
import { clickhouseType } from '../contract/types.ts'
import { changelogColumns, changelogName, versionAt } from './ddl.ts'
import { nativeColumns } from './native-block.ts'
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
 * With these settings, the result of an insert depends on its bytes alone, and an insert writes one
 * part. Defaults differ by version, so all settings are given.
 */
export function insertSettings(records: number): ClickHouseSettings {
  return {
    async_insert: 0,
    insert_deduplicate: 0,
    max_insert_threads: '1',
    input_format_parallel_parsing: 0,
    input_format_null_as_default: 1,
    max_block_size: String(oneBlock.rows),
    max_insert_block_size: String(oneBlock.rows),
    min_insert_block_size_rows: String(oneBlock.rows),
    min_insert_block_size_bytes: String(oneBlock.bytes),
    parallel_view_processing: 1,
    // A part of the current state then has one row of each key.
    optimize_on_insert: 1,
    max_threads: records < severalThreads ? 1 : 0,
  }
}

/**
 * The statement that sends a `NativeBlock` of the table. ClickHouse decodes nothing.
 * @param target a table with a changelog's columns
 * @param guard SQL condition that throws when the rows must not be inserted. ClickHouse evaluates
 *   it only if the block has rows
 */
export function nativeStatement(table: Table, target = changelogName(table), guard?: string): string {
  const columns = nativeColumns(table)
  const names = columns.map(([name]) => quoteName(name)).join(', ')
  const into = `INSERT INTO ${quoteName(target)} (${names})`
  if (guard === undefined) return `${into} FORMAT Native`
  const structure = columns.map(([name, type]) => `${quoteName(name)} ${type}`).join(', ')
  return `${into} SELECT ${names} FROM input(${quoteString(structure)}) WHERE ${guard} FORMAT Native`
}

/**
 * `INSERT … SELECT … FROM input(…) FORMAT Avro` for records of an AvroContainer. An update becomes
 * two rows (−1 before, +1 after), a delete one row (−1), any other operation one row (+1).
 * ClickHouse decodes the records; this process does not.
 * @param target a table with a changelog's columns
 * @param guard as for `nativeStatement`
 */
export function insertStatement(table: Table, target = changelogName(table), guard?: string): string {
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
  FROM input(${quoteString(structure)})${guard === undefined ? '' : ` WHERE ${guard}`}
)
FORMAT Avro`
}
