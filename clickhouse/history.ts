// clickhouse/history: every version of a table's rows with the time it was valid for (slowly changing dimension, type 2).

import type { historyColumnNames } from '../contract/names.ts'
import { type Table, tableName } from '../contract/table.ts'
import type { Clickhouse } from './client.ts'
import { changelogColumns, changelogName, columnDefinition, storageName, tokenSettings } from './ddl.ts'
import { quoteName, quoteString } from './quote.ts'

/** A row that was there when the initial load began is valid from here: what was before is not known. */
const beginning = "toDateTime64('1970-01-01 00:00:00', 6, 'UTC')"
/** End of a version that is still valid. Later ones are beyond what pandas, and so half of Python, can hold (2262). */
const farFuture = "toDateTime64('2199-12-31 00:00:00', 6, 'UTC')"

/** @see https://www.postgresql.org/docs/current/datatype-pg-lsn.html */
const lsnText = "printf('%X/%X', bitShiftRight(_lsn, 32), bitAnd(_lsn, 0xFFFFFFFF))"

const moment = "DateTime64(6, 'UTC')"

/** Columns of a history after the row's own: name, type and comment. Only types that every reporting tool reads. */
const historyColumns: Record<(typeof historyColumnNames)[number], readonly [type: string, comment: string]> = {
  version_key: ['String', 'Key of this version alone: the primary key, @, start_date in microseconds since 1970'],
  start_date: [moment, 'When this version became valid: its commit; 1970-01-01 for a row of the initial load'],
  end_date: [moment, 'When it ceased to be valid, this moment excluded; 2199-12-31 for a version that is valid now'],
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
 * Makes the history of a table be there, or not, in the session's database. A history that is switched on later is filled from the
 * changelog; the view is made last, so that whoever finds it finds everything behind it, whatever was cut off before.
 * @param exists whether there is something of the name `historyName`
 */
export async function prepareHistory(
  clickhouse: Clickhouse,
  table: Table,
  { wanted, exists }: { wanted: boolean; exists: boolean },
): Promise<void> {
  if (wanted === exists) return
  for (const sql of wanted ? historyStatements(table) : dropStatements(table)) await clickhouse.command(sql)
}

/** Statements that create versions table, the materialized view that fills it, what happened so far, and the view `schema.table.history`. */
function historyStatements(table: Table): string[] {
  return [createVersions(table), createVersionsView(table), restoreVersions(table, ''), createHistory(table)]
}

/** Adds versions from the changelog; one that is there already is the same row again. */
export function restoreVersions(table: Table, where: string): string {
  return `INSERT INTO ${quoteName(versionsName(table))}\n${versionsSelect(table, where)}`
}

/** Images that came to be, and markers where a key went away. */
function versionsSelect(table: Table, where: string): string {
  return `SELECT ${ownColumns(table)}, ${positionColumns.map(([name]) => name).join(', ')}, toUInt8(_sign < 0) AS _deleted
FROM ${quoteName(changelogName(table))}
WHERE (_sign > 0 OR _op IN ('d', 't'))${where}`
}

function createVersions(table: Table): string {
  const position = positionColumns.map(([name, type, comment]) => `${name} ${type} COMMENT ${quoteString(comment)}`)
  const deleted = `_deleted UInt8 COMMENT '1 where the key went away: a delete, a truncate, or a change of key'`
  return `CREATE TABLE IF NOT EXISTS ${quoteName(versionsName(table))} (
  ${[...table.columns.map(columnDefinition), ...position, deleted].join(',\n  ')}
) ENGINE = ReplacingMergeTree ORDER BY (${keyColumns(table)}, _version)
SETTINGS ${tokenSettings}
COMMENT ${quoteString(`Every image of each key of ${tableName(table)}, in order of position; read with FINAL`)}`
}

function createVersionsView(table: Table): string {
  return `CREATE MATERIALIZED VIEW IF NOT EXISTS ${quoteName(`${versionsName(table)}.fold`)} TO ${quoteName(versionsName(table))} AS
${versionsSelect(table, '')}`
}

/**
 * A version lasts from its commit to the commit of what follows on its key. Times are a running maximum in order of position, so a
 * clock that steps back makes no overlap, and what lasted no time is no version: that leaves the last state of each transaction.
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

/** Text that no other key of the table has. */
function keyText(table: Table): string {
  return `toString(${table.key.length === 1 ? keyColumns(table) : `tuple(${keyColumns(table)})`})`
}

function ownColumns(table: Table): string {
  return table.columns.map(({ name }) => quoteName(name)).join(', ')
}

function keyColumns(table: Table): string {
  return table.key.map(quoteName).join(', ')
}
