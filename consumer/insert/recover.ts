// consumer/insert/recover: a batch whose insertion was cut off, or whose outcome nobody saw, brought to its end.
// Tokens are trusted only while the server runs.

import { changelogName, currentName, currentSelect, tokenWindow } from '../../clickhouse/ddl.ts'
import { restoreVersions } from '../../clickhouse/history.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sleep } from '../../runtime/wait.ts'
import { countRecords, type Slice, withoutOffsets } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'
import { holdsAny, rangesOf, readHeld } from './changelog.ts'
import { foldQueries, type Inserter, insertSlices, setAsideRefused } from './insert.ts'

/** What is known of a batch that may have arrived in part. */
export interface RecoveryContext {
  /** The present run of the ClickHouse server. */
  readonly server: string
  /** It is the run that the batch was announced to, so ClickHouse knows what it has inserted. */
  readonly sameServer: boolean
  /** Partitions of it have left it behind, or later records of them stand in a changelog: it was inserted whole. */
  readonly isPast: boolean
}

/**
 * Makes the changelog hold every record of the slices once, and current state and history everything that the changelog does. What it lacks
 * is told by looking, never by a token alone.
 *
 * A server that has not been restarted since knows by the tokens what each table has. If the changelog has all of it, everything is sent
 * again, so that each view takes what it lacks, provided that nothing was folded since that this table's views read. Otherwise only what is
 * missing is sent: a restarted server may have forgotten a token whose rows it holds, and remember one whose rows it lost. The tokens of that
 * name the run of the server, so that two who do this at once send the same, and what a former run remembers does not count.
 *
 * @returns whether the aggregates are certain too; otherwise they may miss or double the batch
 */
export async function recoverSlices(
  inserter: Inserter,
  table: TargetTable,
  slices: readonly Slice[],
  { server, sameServer, isPast }: RecoveryContext,
): Promise<boolean> {
  if (isPast) for (const slice of slices) await restoreTombstones(inserter, table, slice)
  const records = slices.filter(({ truncate }) => !truncate)
  const absent = await missingFrom(inserter, table, records)
  const missing = isAll(absent, records) ? absent : await setAsideRefused(inserter, table, absent)
  const isWhole = missing.length === 0
  const tokensHold =
    sameServer && !isPast && (isWhole ? await isRemembered(inserter, table, records) : isAll(missing, records))
  const sent = tokensHold
    ? await insertSlices(inserter, table, records)
    : await insertSlices(inserter, table, missing, server)
  const truncates = isPast ? [] : slices.filter(({ truncate }) => truncate)
  const begun = truncates.length > 0 && (await holdsAny(inserter.clickhouse, table.table, { slices: truncates }))
  await insertSlices(inserter, table, truncates)
  // What was set aside is not among what was sent.
  const lost = await missingFrom(inserter, table, sent)
  if (lost.length > 0) await insertSlices(inserter, table, lost, `${server} again`)
  for (const slice of slices) await restoreDerived(inserter, table, slice)
  return lost.length === 0 && !begun && (tokensHold || (isPast && isWhole))
}

/** Whether parts of slices are all of them. */
function isAll(parts: readonly Slice[], slices: readonly Slice[]): boolean {
  return countRecords(parts) === countRecords(slices)
}

/** Parts of the slices whose offsets the changelog does not hold. */
async function missingFrom(inserter: Inserter, { table }: TargetTable, slices: readonly Slice[]): Promise<Slice[]> {
  const held = await readHeld(inserter.clickhouse, table, slices)
  return slices.flatMap(slice => withoutOffsets(slice, held.get(slice.partition) ?? new Set()))
}

/**
 * Whether the rows came with one insert whose token every table still knows. Rows of several inserts had tokens of their own. Each insert
 * has the next number, and a table remembers the tokens of so many parts: an insert makes one in each partition that it reaches.
 */
async function isRemembered(inserter: Inserter, { table }: TargetTable, slices: readonly Slice[]): Promise<boolean> {
  if (slices.length === 0) return true
  const name = changelogName(table)
  const [row] = await inserter.clickhouse.rows<{ inserts: string; since: string }>(
    `SELECT uniqExact(_block_number) AS inserts, toString((max(newest) - min(_block_number)) * max(partitions)) AS since
FROM ${quoteName(name)},
  (SELECT max(max_block_number) AS newest FROM system.parts WHERE database = currentDatabase() AND table = {name:String}) AS parts,
  (SELECT max(n) AS partitions FROM (SELECT uniqExact(partition) AS n FROM system.parts
    WHERE database = currentDatabase() AND active GROUP BY table)) AS tables
WHERE ${rangesOf(slices)}`,
    { name },
  )
  return row?.inserts === '1' && Number(row.since) < tokenWindow / 2
}

/** Current state and history of the slice again. Versions make this idempotent: a row that is there already is the same row. */
export async function restoreDerived(inserter: Inserter, { table, history }: TargetTable, slice: Slice): Promise<void> {
  const range = ` AND ${rangesOf([slice])}`
  await restore(inserter, `INSERT INTO ${quoteName(currentName(table))}\n${currentSelect(table, range)}`)
  if (history) await restore(inserter, restoreVersions(table, range))
}

/**
 * Markers of the keys that later records of the partition have deleted, in the current state again: old ones are removed from it. To be
 * done before older records, or images, are inserted again, which would bring those keys back.
 */
export async function restoreTombstones(
  inserter: Inserter,
  { table }: TargetTable,
  { partition, end }: Pick<Slice, 'partition' | 'end'>,
): Promise<void> {
  const behind = ` AND _sign < 0 AND _partition = ${partition} AND _offset >= ${end}`
  await restore(inserter, `INSERT INTO ${quoteName(currentName(table))}\n${currentSelect(table, behind)}`)
}

async function restore({ clickhouse }: Inserter, sql: string): Promise<void> {
  await clickhouse.command(sql, { async_insert: 0, insert_deduplicate: 0 })
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
    await sleep(20)
    const still = await running()
    left = left.filter(id => still.includes(id))
  }
}
