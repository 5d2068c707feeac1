// consumer/insert/recover: completes an insert that failed, and the rows that views had to write
// beside it.

import { currentName, currentSelect } from '../../clickhouse/ddl.ts'
import { restoreVersions } from '../../clickhouse/history.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sleep } from '../../runtime/wait.ts'
import { type Slice, withoutOffsets } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'
import { rangesOf, readStoredOffsets } from './changelog.ts'
import { insertSlices } from './insert.ts'
import { guard, type Inserter, insertQueryPrefix } from './inserter.ts'

/** A part of a partition's changelog, from an offset on. */
export interface ChangelogRange {
  readonly partition: number
  readonly start: number
  readonly end: number
}

/**
 * Inserts what the changelog lacks of the slices, after inserts that still run have ended. The
 * changelog itself says which records it has. Afterwards current state and history contain
 * everything that the changelog has of the slices.
 * @returns the inserted slices
 */
export async function completeInsert(
  inserter: Inserter,
  table: TargetTable,
  slices: readonly Slice[],
): Promise<Slice[]> {
  await waitForRunningInserts(inserter)
  const records = slices.filter(({ truncate }) => !truncate)
  const stored = await readStoredOffsets(inserter.clickhouse, table.table, records)
  const missing = records.flatMap(slice => withoutOffsets(slice, stored.get(slice.partition) ?? new Set()))
  await restoreDerived(inserter, table, slices)
  const truncates = slices.filter(({ truncate }) => truncate)
  return insertSlices(inserter, table, [...missing, ...truncates])
}

/**
 * Inserts the changelog's images into current state and history again. Idempotent: an existing row
 * has the same key and version.
 */
export async function restoreDerived(
  inserter: Inserter,
  { table, history }: TargetTable,
  ranges: readonly ChangelogRange[],
): Promise<void> {
  if (ranges.length === 0) return
  const condition = ` AND ${rangesOf(ranges)} AND ${guard(inserter)}`
  await restore(inserter, `INSERT INTO ${quoteName(currentName(table))}\n${currentSelect(table, condition)}`)
  if (history) await restore(inserter, restoreVersions(table, condition))
}

/**
 * Inserts the tombstones of keys that later records of the partition delete. Old tombstones have
 * been removed from the current state. Call this before older records are inserted again, because
 * these would bring the keys back.
 */
export async function restoreTombstones(
  inserter: Inserter,
  { table }: TargetTable,
  { partition, end }: Pick<ChangelogRange, 'partition' | 'end'>,
): Promise<void> {
  const behind = ` AND _sign < 0 AND _partition = ${partition} AND _offset >= ${end} AND ${guard(inserter)}`
  await restore(inserter, `INSERT INTO ${quoteName(currentName(table))}\n${currentSelect(table, behind)}`)
}

async function restore({ clickhouse }: Inserter, sql: string): Promise<void> {
  await clickhouse.command(sql, { async_insert: 0 })
}

/** Time limit of one wait. Then the log names the inserts, and the caller retries. */
const mostWaitMs = 10_000

/**
 * Waits for running inserts into the generation. An insert continues after its client has gone. Its
 * rows cannot be looked up before it ends, and the caller would insert them a second time.
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
