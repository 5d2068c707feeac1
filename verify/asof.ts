// verify/asof: the rows of a table as they were in ClickHouse just before an LSN, while newer changes keep arriving.

import { changelogName, currentName } from '../clickhouse/ddl.ts'
import { quoteName } from '../clickhouse/quote.ts'
import type { Table } from '../contract/table.ts'

/**
 * A SELECT of all captured columns. Keys untouched since the LSN come from the current state, which is thereby checked; the few others
 * from their last image before it in the changelog.
 */
export function asOfSelect(table: Table, lsn: number): string {
  const own = table.columns.map(column => quoteName(column.name)).join(', ')
  const key = table.key.map(quoteName).join(', ')
  const log = quoteName(changelogName(table))
  return `SELECT ${own} FROM ${quoteName(currentName(table))} FINAL
WHERE _version < bitShiftLeft(toUInt128(${lsn}), 64)
UNION ALL
SELECT ${own} FROM (
  SELECT ${own}, _sign FROM ${log}
  WHERE _lsn < ${lsn} AND (${key}) IN (SELECT ${key} FROM ${log} WHERE _lsn >= ${lsn})
  ORDER BY _version DESC, _sign DESC LIMIT 1 BY ${key}
) WHERE _sign = 1`
}
