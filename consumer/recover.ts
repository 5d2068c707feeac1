// consumer/recover: a batch whose insertion was cut off, or whose outcome nobody saw, brought to its end.
// May know: clickhouse, consumer/{insert,slice,tables}. Tokens are trusted only while the server runs.

import { changelogName, currentName, currentSelect } from '../clickhouse/ddl.ts'
import { restoreVersions } from '../clickhouse/history.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { type Inserter, insertSlices } from './insert.ts'
import { type Slice, withoutOffsets } from './slice.ts'
import type { FoldTable } from './tables.ts'

/**
 * Makes the changelog hold every record of the slices once, and current state and history everything that the changelog does.
 *
 * Three states are possible per insert, whatever was killed: nothing arrived; all arrived; or the server remembers the token
 * although the part never became visible (it logs the token first). The last is told apart by looking, and gets a new token.
 *
 * A server that has not been restarted since knows by the tokens what it has, so everything is sent again and each view takes what it
 * lacks, provided that nothing was folded since that this table's views read. A restarted one may have forgotten a token whose rows it holds, so only what is missing is sent.
 *
 * @returns whether the aggregates are certain too; otherwise they may miss or double the batch, and the caller reconciles them
 */
export async function recoverSlices(
  inserter: Inserter,
  table: FoldTable,
  slices: readonly Slice[],
  sameServer: boolean,
): Promise<boolean> {
  const truncates = slices.filter(({ truncate }) => truncate)
  await insertSlices(
    inserter,
    table,
    sameServer ? slices : [...(await missingFrom(inserter, table, slices)), ...truncates],
  )
  const lost = await missingFrom(inserter, table, slices)
  if (lost.length > 0) await insertSlices(inserter, table, lost, '-again')
  for (const slice of slices) await restoreDerived(inserter, table, slice)
  return sameServer && lost.length === 0
}

/** Parts of the slices whose offsets the changelog does not hold; truncates are not looked for, they complete themselves. */
async function missingFrom(inserter: Inserter, table: FoldTable, slices: readonly Slice[]): Promise<Slice[]> {
  const missing: Slice[] = []
  for (const slice of slices) {
    if (slice.truncate) continue
    const rows = await inserter.clickhouse.rows<{ offset: string }>(
      `SELECT DISTINCT _offset AS offset FROM ${quoteName(changelogName(table.table))} WHERE _partition = ${slice.partition} AND _offset >= ${slice.start} AND _offset < ${slice.end}`,
    )
    missing.push(...withoutOffsets(slice, new Set(rows.map(row => Number(row.offset)))))
  }
  return missing
}

/** Whether the changelog holds any row of the slices. */
export async function holdsAny(inserter: Inserter, { table }: FoldTable, slices: readonly Slice[]): Promise<boolean> {
  const ranges = slices.map(
    ({ partition, start, end }) => `(_partition = ${partition} AND _offset >= ${start} AND _offset < ${end})`,
  )
  const rows = await inserter.clickhouse.rows(
    `SELECT 1 FROM ${quoteName(changelogName(table))} WHERE ${ranges.join(' OR ')} LIMIT 1`,
  )
  return rows.length > 0
}

/** Current state and history of the slice again. Versions make this idempotent: a row that is there already is the same row. */
async function restoreDerived(inserter: Inserter, { table, history }: FoldTable, slice: Slice): Promise<void> {
  const range = ` AND _partition = ${slice.partition} AND _offset >= ${slice.start} AND _offset < ${slice.end}`
  const restore = (sql: string) => inserter.clickhouse.command(sql, { async_insert: 0, insert_deduplicate: 0 })
  await restore(`INSERT INTO ${quoteName(currentName(table))}\n${currentSelect(table, range)}`)
  if (history) await restore(restoreVersions(table, range))
}

/** An insert whose client is gone may still be running; looking for its rows before it ends would see neither state. */
export async function waitForRunningInserts(inserter: Inserter): Promise<void> {
  const deadline = performance.now() + 120_000
  for (;;) {
    const [row] = await inserter.clickhouse.rows<{ n: string }>(
      'SELECT count() AS n FROM system.processes WHERE startsWith(query_id, {prefix:String})',
      { prefix: `fold-${inserter.database}-` },
    )
    if (Number(row?.n ?? 0) === 0 || performance.now() > deadline) return
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
