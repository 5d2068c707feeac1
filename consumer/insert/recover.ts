// consumer/insert/recover: completes a batch whose insert was interrupted or has an unknown
// outcome.
// Deduplication tokens are reliable only within one run of the ClickHouse server.

import { changelogName, currentName, currentSelect, tokenWindow } from '../../clickhouse/ddl.ts'
import { restoreVersions } from '../../clickhouse/history.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sleep } from '../../runtime/wait.ts'
import { countRecords, type Slice, withoutOffsets } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'
import { holdsAny, rangesOf, readHeldOffsets } from './changelog.ts'
import { type Inserter, insertQueryPrefix, insertSlices, refuseUnstorable } from './insert.ts'

/** What is known of a batch that may have arrived in part. */
export interface RecoveryContext {
  /** The present run of the ClickHouse server. */
  readonly server: string
  /**
   * The batch was announced to the same run, so ClickHouse still knows the tokens of its inserts.
   */
  readonly sameServer: boolean
  /**
   * A partition was committed past the batch, or a changelog holds later records: the whole batch
   * was inserted.
   */
  readonly isPast: boolean
}

/**
 * Afterwards the changelog holds every record of the slices once, and current state and history
 * hold everything that the changelog holds. Missing records are found by reading the changelog,
 * never by a token alone.
 *
 * If the server has not been restarted since the batch was announced, every table still knows the
 * tokens. Then all records are sent again, under the same token. Tables that have them ignore them,
 * and views that lack them take them. This is allowed only if nothing was inserted since that the
 * views of this table read.
 *
 * Otherwise only missing records are sent. A restarted server may have forgotten the token of rows
 * that it holds, and may know the token of rows that it lost. The new tokens contain the id of the
 * server's run. So two members that recover the batch at once send the same tokens, and tokens of a
 * former run do not matter.
 *
 * @returns whether the aggregates are certain too; otherwise they may lack the batch or count it
 *   twice
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
  const missing = isAll(absent, records) ? absent : await refuseUnstorable(inserter, table, absent)
  const isWhole = missing.length === 0
  const tokensHold =
    sameServer && !isPast && (isWhole ? await isRemembered(inserter, table, records) : isAll(missing, records))
  const sent = tokensHold
    ? await insertSlices(inserter, table, records)
    : await insertSlices(inserter, table, missing, server)
  const truncates = isPast ? [] : slices.filter(({ truncate }) => truncate)
  const begun = truncates.length > 0 && (await holdsAny(inserter.clickhouse, table.table, { slices: truncates }))
  await insertSlices(inserter, table, truncates)
  // Refused records are not in `sent`, so they do not count as lost.
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
  const held = await readHeldOffsets(inserter.clickhouse, table, slices)
  return slices.flatMap(slice => withoutOffsets(slice, held.get(slice.partition) ?? new Set()))
}

/**
 * Whether one insert wrote the rows, and every table still knows its token. Rows of several inserts
 * have several tokens. A table remembers the tokens of its last `tokenWindow` parts. An insert
 * makes one part in each partition of the table that it writes to, and block numbers count the
 * inserts.
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

/**
 * Inserts the slice into current state and history again. Idempotent: an existing row has the same
 * key and version.
 */
export async function restoreDerived(inserter: Inserter, { table, history }: TargetTable, slice: Slice): Promise<void> {
  const range = ` AND ${rangesOf([slice])}`
  await restore(inserter, `INSERT INTO ${quoteName(currentName(table))}\n${currentSelect(table, range)}`)
  if (history) await restore(inserter, restoreVersions(table, range))
}

/**
 * Inserts the tombstones of keys that later records of the partition delete. Old tombstones have
 * been removed from the current state. Call this before older records are inserted again, because
 * these would bring the keys back.
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

/** Time limit of one wait. Then the log names the inserts, and the caller retries. */
const mostWaitMs = 10_000

/**
 * Waits for running inserts into the generation. An insert continues after its client has gone. Its
 * rows cannot be looked up before it ends, and recovery would insert them a second time.
 * @throws {MillraceError} CLICKHOUSE_BUSY (retriable) when they take longer than `mostWaitMs`
 */
export async function waitForRunningInserts({
  clickhouse,
  database,
}: Pick<Inserter, 'clickhouse' | 'database'>): Promise<void> {
  const running = async () => {
    const rows = await clickhouse.rows<{ query_id: string }>(
      "SELECT query_id FROM system.processes WHERE query_kind = 'Insert' AND startsWith(query_id, {prefix:String})",
      { prefix: insertQueryPrefix(database) },
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
        next: 'wait, or look in system.processes for the cause; KILL QUERY ends such an insert, and millrace inserts the missing rows again',
      })
    }
    await sleep(20)
    const still = await running()
    left = left.filter(id => still.includes(id))
  }
}
