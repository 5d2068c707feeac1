// consumer/insert/truncate: applies a TRUNCATE: a −1 image for every live row of its partition.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { changelogColumns, changelogName, currentName, versionAt } from '../../clickhouse/ddl.ts'
import { insertSettings } from '../../clickhouse/insert.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import type { Head } from '../../contract/head.ts'
import type { Table } from '../../contract/table.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { rebuildAdvice } from '../warehouse/objects.ts'
import { guard, type Inserter } from './inserter.ts'

/** A TRUNCATE record. */
export interface TruncateRecord {
  readonly partition: number
  readonly offset: number
  readonly head: Head
}

/** Rows and bytes of one block. All of a block must fit into a user's memory limit. */
const block = { rows: '100000', bytes: '268435456' }

/**
 * Inserts a −1 image for each row of the partition that is live and older than the TRUNCATE, block
 * by block. Running it again adds only missing images: keys that this record has already retracted
 * are left out.
 */
export async function retractAll(
  inserter: Pick<Inserter, 'clickhouse' | 'epoch'>,
  table: Table,
  record: TruncateRecord,
): Promise<void> {
  await inserter.clickhouse.command(truncateStatement(table, record, guard(inserter)), {
    ...insertSettings(Number.POSITIVE_INFINITY),
    max_block_size: block.rows,
    max_insert_block_size: block.rows,
    min_insert_block_size_rows: block.rows,
    min_insert_block_size_bytes: block.bytes,
  })
}

function truncateStatement(table: Table, record: TruncateRecord, condition: string): string {
  const { partition, offset, head } = record
  const own = table.columns.map(column => quoteName(column.name)).join(', ')
  const names = `${own}, ${changelogColumns.map(([name]) => name).join(', ')}`
  const key = `(${table.key.map(quoteName).join(', ')})`
  const done = `SELECT ${table.key.map(quoteName).join(', ')} FROM ${quoteName(changelogName(table))} WHERE _partition = ${partition} AND _offset = ${offset}`
  return `INSERT INTO ${quoteName(changelogName(table))} (${names})
SELECT ${own}, -1, 't', ${head.lsn}, ${head.ordinal}, ${versionAt(head.lsn, head.ordinal)},
  ${partition}, ${offset}, fromUnixTimestamp64Micro(${head.commitTimeUs}, 'UTC')
FROM ${quoteName(currentName(table))} FINAL
WHERE ${condition} AND _partition = ${partition} AND _deleted = 0 AND _version < ${versionAt(head.lsn, head.ordinal)} AND ${key} NOT IN (${done})`
}

/**
 * The rows that a TRUNCATE retracts are read from the current state, so it must not contain later
 * changes. It does when the changelog has lost rows that the current state still has, and these are
 * inserted again.
 * @throws {MillraceError} WAREHOUSE_DAMAGED; FENCED when the later changes may be of another member
 */
export async function requireUnpassed(
  inserter: Pick<Inserter, 'clickhouse' | 'epoch'>,
  table: Table,
  record: TruncateRecord,
): Promise<void> {
  const { partition, offset, head } = record
  const later = await inserter.clickhouse.rows(
    `SELECT 1 FROM ${quoteName(currentName(table))} WHERE ${guard(inserter)} AND _partition = ${partition} AND _version > ${versionAt(head.lsn, head.ordinal)} LIMIT 1`,
  )
  if (later.length === 0) return
  throw new MillraceError('WAREHOUSE_DAMAGED', {
    what: `${changelogName(table)} has lost rows that ${currentName(table)} still has, and a TRUNCATE is among the records to insert again`,
    where: `partition ${partition}, offset ${offset}`,
    next: rebuildAdvice,
  })
}

/**
 * A TRUNCATE without rows in the changelog is correct if the partition was empty. Called when later
 * records have rows.
 * @throws {MillraceError} WAREHOUSE_DAMAGED when rows were live before it
 */
export async function requireNothingBefore(
  clickhouse: Clickhouse,
  table: Table,
  { partition, offset }: Pick<TruncateRecord, 'partition' | 'offset'>,
): Promise<void> {
  const live = await clickhouse.rows(
    `SELECT 1 FROM ${quoteName(changelogName(table))} WHERE _partition = ${partition} AND _offset < ${offset}
GROUP BY ${table.key.map(quoteName).join(', ')} HAVING sum(_sign) > 0 LIMIT 1`,
  )
  if (live.length === 0) return
  throw new MillraceError('WAREHOUSE_DAMAGED', {
    what: `${changelogName(table)} has lost the images that a TRUNCATE had inserted`,
    where: `partition ${partition}, offset ${offset}`,
    next: rebuildAdvice,
  })
}
