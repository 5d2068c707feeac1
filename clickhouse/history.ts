// clickhouse/history: every version of a table's rows with its time of validity (slowly changing
// dimension, type 2).

import type { historyColumnNames } from '../contract/names.ts'
import { type Table, tableName } from '../contract/table.ts'
import type { Clickhouse } from './client.ts'
import { changelogColumns, changelogName, columnDefinition, storageName } from './ddl.ts'
import { quoteName, quoteString } from './quote.ts'

/** Start of rows of the initial load: their real start is unknown. */
const beginning = "toDateTime64('1970-01-01 00:00:00', 6, 'UTC')"
/** End of a version that is still valid. pandas cannot represent dates after 2262. */
const farFuture = "toDateTime64('2199-12-31 00:00:00', 6, 'UTC')"

/** @see https://www.postgresql.org/docs/current/datatype-pg-lsn.html */
const lsnText = "printf('%X/%X', bitShiftRight(_lsn, 32), bitAnd(_lsn, 0xFFFFFFFF))"

const moment = "DateTime64(6, 'UTC')"

/**
 * Columns of a history after the row's own: type and comment by name. Every reporting tool reads
 * these types.
 */
const historyColumns: Record<(typeof historyColumnNames)[number], readonly [type: string, comment: string]> = {
  version_key: ['String', 'Key of this version alone: the primary key, @, start_date in microseconds since 1970'],
  start_date: [moment, 'When this version became valid: its commit; 1970-01-01 for a row of the initial load'],
  end_date: [moment, 'When it stopped being valid, this moment excluded; 2199-12-31 for a version that is valid now'],
  is_current: ['Bool', 'Whether it is valid now'],
  source_id_audit: ['String', 'Where the row came from: snapshot (the initial load) or database (a change after it)'],
  insert_id: ['String', 'Transaction that opened this version: the LSN of its commit, as pg_lsn'],
  update_id: ['Nullable(String)', 'Transaction that closed it, likewise; null for a version that is valid now'],
}

/** Columns of the versions table that come from the changelog. */
const positionColumns = changelogColumns.filter(([name]) => ['_op', '_lsn', '_version', '_commit_time'].includes(name))

export function versionsName(table: Table): string {
  return `${storageName(table.schema, table.name)}.versions`
}

export function historyName(table: Table): string {
  return `${storageName(table.schema, table.name)}.history`
}

/**
 * Creates or drops the history of a table in the session's database. A history that is switched on
 * later is filled from the changelog. The view is created last, so its existence means that the
 * history is complete.
 * @param exists whether `historyName` exists
 */
export async function prepareHistory(
  clickhouse: Clickhouse,
  table: Table,
  { wanted, exists }: { wanted: boolean; exists: boolean },
): Promise<void> {
  if (wanted === exists) return
  for (const sql of wanted ? historyStatements(table) : dropStatements(table)) await clickhouse.command(sql)
}

/**
 * Statements that create the table of versions, the materialized view that fills it, its rows from
 * the changelog, and the view `schema.table.history`.
 */
function historyStatements(table: Table): string[] {
  return [createVersions(table), createVersionsView(table), restoreVersions(table, ''), createHistory(table)]
}

/**
 * Statement that inserts versions from the changelog. Idempotent: an existing version has the same
 * key and position.
 */
export function restoreVersions(table: Table, where: string): string {
  return `INSERT INTO ${quoteName(versionsName(table))}\n${versionsSelect(table, where)}`
}

/** SELECT of new images, and of tombstones of deleted keys. */
function versionsSelect(table: Table, where: string): string {
  return `SELECT ${ownColumns(table)}, ${positionColumns.map(([name]) => name).join(', ')}, toUInt8(_sign < 0) AS _deleted
FROM ${quoteName(changelogName(table))}
WHERE (_sign > 0 OR _op IN ('d', 't'))${where}`
}

function createVersions(table: Table): string {
  const position = positionColumns.map(([name, type, comment]) => `${name} ${type} COMMENT ${quoteString(comment)}`)
  const deleted = `_deleted UInt8 COMMENT '1 for a deleted key: a delete, a truncate, or a change of key'`
  return `CREATE TABLE IF NOT EXISTS ${quoteName(versionsName(table))} (
  ${[...table.columns.map(columnDefinition), ...position, deleted].join(',\n  ')}
) ENGINE = ReplacingMergeTree ORDER BY (${keyColumns(table)}, _version)
COMMENT ${quoteString(`Every image of each key of ${tableName(table)}, in order of position; read with FINAL`)}`
}

function createVersionsView(table: Table): string {
  return `CREATE MATERIALIZED VIEW IF NOT EXISTS ${quoteName(`${versionsName(table)}.fold`)} TO ${quoteName(versionsName(table))} AS
${versionsSelect(table, '')}`
}

/**
 * A version is valid from its commit to the next commit of its key. Times are a running maximum in
 * order of position, so a clock that steps back makes no overlap. A version without duration is
 * left out, so each transaction has its last state only.
 */
function createHistory(table: Table): string {
  const own = ownColumns(table)
  const added = Object.entries(historyColumns).map(
    ([name, [type, comment]]) => `${name} ${type} COMMENT ${quoteString(comment)}`,
  )
  const at = `if(_op = 'r', ${beginning}, _commit_time)`
  return `CREATE VIEW IF NOT EXISTS ${quoteName(historyName(table))} (
  ${[...table.columns.map(columnDefinition), ...added].join(',\n  ')}
) AS
SELECT ${own},
  concat(${keyText(table)}, '@', toString(toUnixTimestamp64Micro(start_date))) AS version_key, start_date, end_date,
  toBool(end_date = ${farFuture}) AS is_current, if(_op = 'r', 'snapshot', 'database') AS source_id_audit,
  ${lsnText} AS insert_id, update_id
FROM (
  SELECT ${own}, _lsn, _op, _deleted,
    max(${at}) OVER (${window(table, 'UNBOUNDED PRECEDING', 'CURRENT ROW')}) AS start_date,
    greatest(start_date, leadInFrame(${at}, 1, ${farFuture}) OVER (${window(table, 'CURRENT ROW', 'UNBOUNDED FOLLOWING')})) AS end_date,
    leadInFrame(toNullable(${lsnText})) OVER (${window(table, 'CURRENT ROW', 'UNBOUNDED FOLLOWING')}) AS update_id
  FROM ${quoteName(versionsName(table))} FINAL
)
WHERE NOT _deleted AND start_date < end_date
COMMENT ${quoteString(`History of ${tableName(table)}, a row per version. ${table.comment ?? ''}`.trimEnd())}`
}

function dropStatements(table: Table): string[] {
  return [historyName(table), `${versionsName(table)}.fold`, versionsName(table)].map(
    name => `DROP TABLE IF EXISTS ${quoteName(name)}`,
  )
}

function window(table: Table, from: string, to: string): string {
  return `PARTITION BY ${keyColumns(table)} ORDER BY _version ROWS BETWEEN ${from} AND ${to}`
}

/** SQL of a text that identifies the key within its table. */
function keyText(table: Table): string {
  return `toString(${table.key.length === 1 ? keyColumns(table) : `tuple(${keyColumns(table)})`})`
}

function ownColumns(table: Table): string {
  return table.columns.map(({ name }) => quoteName(name)).join(', ')
}

function keyColumns(table: Table): string {
  return table.key.map(quoteName).join(', ')
}
