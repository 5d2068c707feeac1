// consumer/truncate: a TRUNCATE as retractions of every live row of its partition.
// May know: contract, clickhouse.

import { changelogColumns, changelogName, currentName } from '../clickhouse/ddl.ts'
import { quoteName } from '../clickhouse/quote.ts'
import type { Head } from '../contract/head.ts'
import type { Table } from '../contract/table.ts'

/**
 * Inserts a −1 image for each row of the partition that is live now. Running it again after it was cut off adds only what is
 * missing: keys that this record has already retracted are left out.
 */
export function truncateStatement(table: Table, record: { partition: number; offset: number; head: Head }): string {
  const { partition, offset, head } = record
  const own = table.columns.map(column => quoteName(column.name)).join(', ')
  const names = `${own}, ${changelogColumns.map(([name]) => name).join(', ')}`
  const key = `(${table.key.map(quoteName).join(', ')})`
  const done = `SELECT ${table.key.map(quoteName).join(', ')} FROM ${quoteName(changelogName(table))} WHERE _partition = ${partition} AND _offset = ${offset}`
  return `INSERT INTO ${quoteName(changelogName(table))} (${names})
SELECT ${own}, -1, 't', ${head.lsn}, ${head.ordinal},
  bitOr(bitShiftLeft(toUInt128(${head.lsn}), 64), toUInt128(${head.ordinal})),
  ${partition}, ${offset}, fromUnixTimestamp64Micro(${head.commitTimeUs}, 'UTC')
FROM ${quoteName(currentName(table))} FINAL
WHERE _partition = ${partition} AND _deleted = 0 AND ${key} NOT IN (${done})`
}
