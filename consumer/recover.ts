// consumer/recover: a batch whose insertion was cut off, or whose outcome nobody saw, brought to its end.
// May know: clickhouse, runtime/errors, consumer/{insert,slice,tables}. Tokens are trusted only while the server runs.

import { setTimeout as pause } from 'node:timers/promises'
import { changelogName, currentName, currentSelect } from '../clickhouse/ddl.ts'
import { restoreVersions } from '../clickhouse/history.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { MillraceError } from '../runtime/errors.ts'
import { foldQueries, type Inserter, insertSlices } from './insert.ts'
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

/** Condition for the changelog's rows of a slice. */
function rangeOf({ partition, start, end }: Slice): string {
  return `_partition = ${partition} AND _offset >= ${start} AND _offset < ${end}`
}

/** Parts of the slices whose offsets the changelog does not hold; truncates are not looked for, they complete themselves. */
async function missingFrom(inserter: Inserter, table: FoldTable, slices: readonly Slice[]): Promise<Slice[]> {
  const missing: Slice[] = []
  for (const slice of slices) {
    if (slice.truncate) continue
    const rows = await inserter.clickhouse.rows<{ offset: string }>(
      `SELECT DISTINCT _offset AS offset FROM ${quoteName(changelogName(table.table))} WHERE ${rangeOf(slice)}`,
    )
    missing.push(...withoutOffsets(slice, new Set(rows.map(row => Number(row.offset)))))
  }
  return missing
}

/** Whether the changelog holds any row of the slices. */
export async function holdsAny(inserter: Inserter, { table }: FoldTable, slices: readonly Slice[]): Promise<boolean> {
  const ranges = slices.map(slice => `(${rangeOf(slice)})`).join(' OR ')
  const rows = await inserter.clickhouse.rows(
    `SELECT 1 FROM ${quoteName(changelogName(table))} WHERE ${ranges} LIMIT 1`,
  )
  return rows.length > 0
}

/** Current state and history of the slice again. Versions make this idempotent: a row that is there already is the same row. */
async function restoreDerived(inserter: Inserter, { table, history }: FoldTable, slice: Slice): Promise<void> {
  const range = ` AND ${rangeOf(slice)}`
  const restore = (sql: string) => inserter.clickhouse.command(sql, { async_insert: 0, insert_deduplicate: 0 })
  await restore(`INSERT INTO ${quoteName(currentName(table))}\n${currentSelect(table, range)}`)
  if (history) await restore(restoreVersions(table, range))
}

/** Waited for so long before the log says what is waited for; the caller tries again. */
const mostWaitMs = 10_000

/**
 * Waits for the inserts into the generation that are running now. One whose client is gone runs on; looking for its rows before it ends
 * would see neither state, and what is then inserted or corrected would stand beside it.
 * @throws {MillraceError} CLICKHOUSE_BUSY (retriable) when they take long
 */
export async function waitForRunningInserts({
  clickhouse,
  database,
}: Pick<Inserter, 'clickhouse' | 'database'>): Promise<void> {
  const running = async () => {
    const rows = await clickhouse.rows<{ query_id: string }>(
      "SELECT query_id FROM system.processes WHERE query_kind = 'Insert' AND startsWith(query_id, {prefix:String})",
      { prefix: foldQueries(database) },
    )
    return rows.map(row => row.query_id)
  }
  const started = performance.now()
  let left = await running()
  while (left.length > 0) {
    if (performance.now() - started > mostWaitMs) {
      throw new MillraceError('CLICKHOUSE_BUSY', {
        what: `${left.length} inserts of a client that may be gone still run after ${mostWaitMs / 1000} s`,
        where: `database ${database}, query ids ${left.join(', ')}`,
        next: 'wait, or look in system.processes at what holds them up; KILL QUERY ends one, and what it lacks is inserted again',
      })
    }
    await pause(20)
    const still = await running()
    left = left.filter(id => still.includes(id))
  }
}
