// clickhouse/ddl: statements that create the tables of one captured table.
// Pure: returns statements and runs none.

import type { Column, Table } from '../contract/table.ts'
import { clickhouseType } from '../contract/types.ts'
import { quoteName, quoteString } from './quote.ts'

/**
 * Folds look up single keys in the current state. Small granules in small compressed blocks make
 * this faster, for 16 % more disk.
 */
const currentSettings = 'index_granularity = 256, min_compress_block_size = 2048'

/**
 * ClickHouse writes a special byte of a table's name as `%XX` in file names, which have at most 255
 * bytes.
 */
const longestFileName = 220

/**
 * Columns of a changelog after the row's own: sign of the image, position of the change, and offset
 * of its record.
 */
export const changelogColumns = [
  ['_sign', 'Int8', '+1 for a new image, -1 for a former one'],
  ['_op', 'LowCardinality(String)', 'r snapshot, c insert, u update, d delete, t truncate'],
  ['_lsn', 'UInt64', 'commit LSN of the source transaction'],
  ['_ordinal', 'UInt64', 'number of the change within its transaction'],
  ['_version', 'UInt128', '_lsn * 2^64 + _ordinal: orders all changes of the source'],
  ['_partition', 'Int32', 'Kafka partition of the record'],
  ['_offset', 'UInt64', 'Kafka offset of the record'],
  ['_commit_time', "DateTime64(6, 'UTC')", 'commit time by the clock of the source'],
] as const

/** SQL of `_version` at a position. The parameters are SQL expressions, such as columns. */
export function versionAt(lsn: string | number, ordinal: string | number): string {
  return `bitOr(bitShiftLeft(toUInt128(${lsn}), 64), toUInt128(${ordinal}))`
}

/**
 * `schema.table`. Dots inside either part are escaped, so two tables never share a name. A suffix
 * follows after a dot.
 */
export function storageName(schema: string, table: string): string {
  const name = `${escapeDots(schema)}.${escapeDots(table)}`
  const onDisk = [...Buffer.from(name)].reduce(
    (bytes, byte) => bytes + (/[A-Za-z0-9_]/.test(String.fromCharCode(byte)) ? 1 : 3),
    0,
  )
  return onDisk <= longestFileName ? name : `${Array.from(name).slice(0, 15).join('')}~${fingerprint(name)}`
}

export const changelogSuffix = '.changelog'

export function changelogName(table: Table): string {
  return `${storageName(table.schema, table.name)}${changelogSuffix}`
}

export function currentName(table: Table): string {
  return `${storageName(table.schema, table.name)}.current`
}

/**
 * Statements that create, in the session's database, the changelog, the current state, the
 * materialized view between them, and a view `schema.table` of the live rows. Inserts go only into
 * the changelog.
 */
export function tableStatements(table: Table): string[] {
  return [createChangelog(table), createCurrent(table), createCurrentView(table), createLiveView(table)]
}

/** SELECT of the current state's rows: a new image of a key, or the tombstone of a deleted key. */
export function currentSelect(table: Table, where: string): string {
  const own = table.columns.map(column => quoteName(column.name)).join(', ')
  return `SELECT ${own}, _partition, _version, toUInt8(_sign < 0) AS _deleted
FROM ${quoteName(changelogName(table))}
WHERE (_sign > 0 OR _op IN ('d', 't'))${where}`
}

function createChangelog(table: Table): string {
  const meta = changelogColumns.map(([name, type, comment]) => `${name} ${type} COMMENT ${quoteString(comment)}`)
  return `CREATE TABLE IF NOT EXISTS ${quoteName(changelogName(table))} (
  ${[...table.columns.map(columnDefinition), ...meta].join(',\n  ')}
) ENGINE = MergeTree ORDER BY (_partition, _offset, _sign)
COMMENT ${quoteString(`Every new and every former image of ${table.schema}.${table.name}`)}`
}

function createCurrent(table: Table): string {
  const order = [...new Set([...table.partitionKey, ...table.key])].map(quoteName).join(', ')
  return `CREATE TABLE IF NOT EXISTS ${quoteName(currentName(table))} (
  ${table.columns.map(columnDefinition).join(',\n  ')},
  _partition Int32, _version UInt128, _deleted UInt8
) ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY (${order})
SETTINGS ${currentSettings}
COMMENT ${quoteString(`Last image of each key of ${table.schema}.${table.name}; read with FINAL`)}`
}

function createCurrentView(table: Table): string {
  return `CREATE MATERIALIZED VIEW IF NOT EXISTS ${quoteName(`${currentName(table)}.fold`)} TO ${quoteName(currentName(table))} AS
${currentSelect(table, '')}`
}

function createLiveView(table: Table): string {
  const own = table.columns.map(column => quoteName(column.name)).join(', ')
  const comment = table.comment === undefined ? '' : `\nCOMMENT ${quoteString(table.comment)}`
  return `CREATE VIEW IF NOT EXISTS ${quoteName(storageName(table.schema, table.name))} (
  ${table.columns.map(columnDefinition).join(',\n  ')}
) AS
SELECT ${own} FROM ${quoteName(currentName(table))} FINAL${comment}`
}

export function columnDefinition(column: Column): string {
  const comment = column.comment === undefined ? '' : ` COMMENT ${quoteString(column.comment)}`
  return `${quoteName(column.name)} ${clickhouseType(column)}${comment}`
}

function escapeDots(part: string): string {
  return part.replaceAll('%', '%25').replaceAll('.', '%2E')
}

/** FNV-1a over UTF-8, 64 bits in hex: distinguishes names that had to be cut. */
function fingerprint(name: string): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of Buffer.from(name)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash.toString(16).padStart(16, '0')
}
