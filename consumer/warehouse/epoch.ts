// consumer/warehouse/epoch: who may write into a generation's database: the members of the epoch
// that was registered last.
// An epoch belongs to one assignment of partitions. It ends when another one begins, or ClickHouse
// restarts.

import { createHash, randomUUID } from 'node:crypto'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { fencedText } from '../../clickhouse/error-codes.ts'
import { quoteString } from '../../clickhouse/quote.ts'

/** A table in memory is empty after each start of the server. */
export const epochStatement = `CREATE TABLE IF NOT EXISTS epochs (
  place UInt64 COMMENT 'order of registration',
  epoch String COMMENT 'only the members of the last epoch may write into this database',
  held_by UUID COMMENT 'uuid of this table, which a restored copy does not have'
) ENGINE = Memory COMMENT 'Empty after each start of the server, so every consumer compares its partitions again before it writes'`

export interface Epoch {
  /** Hash of the assignment, a dot, and the place. No other registration has the same id. */
  readonly id: string
  /**
   * Epochs that were registered since the server was started, or the database restored from a
   * backup, with this one.
   */
  readonly sinceStart: ReadonlySet<string>
}

const tableId = "(SELECT uuid FROM system.tables WHERE database = currentDatabase() AND name = 'epochs')"

/**
 * Begins an epoch of an assignment. From then on, no insert of an earlier epoch begins, also none
 * that a client sent before and the server has not received yet. Inserts that have begun are listed
 * in `system.processes`.
 * @param assignment the same text for all members of one assignment, and for no other assignment
 * @param former the epoch of this member that must end; undefined when it has none. An epoch that
 *   another member of the assignment has begun since is shared
 */
export async function beginEpoch(clickhouse: Clickhouse, assignment: string, former?: string): Promise<Epoch> {
  const own = createHash('sha256').update(assignment).digest('hex').slice(0, 24)
  for (;;) {
    const [found] = await clickhouse.rows<{ last: string; newest: string; all: string[] }>(
      `SELECT argMax(epoch, (place, epoch)) AS last, max(place) AS newest, groupArrayIf(epoch, held_by = ${tableId}) AS all FROM epochs`,
    )
    const { last, newest, all } = found!
    if (last.startsWith(`${own}.`) && last !== former) return { id: last, sinceStart: new Set(all) }
    const registered = `${own}.${Number(newest) + 1}-${randomUUID().slice(0, 8)}`
    // Only after the rows that were just read, so that a request that arrives late adds nothing.
    await clickhouse.command(
      `INSERT INTO epochs SELECT max(place) + 1, ${quoteString(registered)}, ${tableId} FROM epochs HAVING max(place) = ${newest}`,
      { async_insert: 0 },
    )
  }
}

/**
 * SQL condition that is true in the epoch and fails the statement afterwards, with the error
 * FENCED. ClickHouse reads the epochs after it has listed the statement in `system.processes`. So a
 * member that begins an epoch, and then waits for the listed inserts, sees all their rows.
 */
export function guardOf(epoch: string): string {
  const last = '(SELECT argMax(epoch, (place, epoch)) FROM epochs)'
  return `throwIf(${last} != ${quoteString(epoch)}, ${quoteString(fencedText)}) = 0`
}

/**
 * SQL condition that fails with FENCED when the table of epochs is another one than that of the
 * epoch, such as a copy that was restored from a backup. It costs more than `guardOf`.
 */
export function sameTable(epoch: string): string {
  const held = `(SELECT count() FROM epochs WHERE epoch = ${quoteString(epoch)} AND held_by = ${tableId})`
  return `throwIf(${held} = 0, ${quoteString(fencedText)}) = 0`
}
