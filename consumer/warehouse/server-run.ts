// consumer/warehouse/server-run: identifies the current run of the ClickHouse server.
// Tokens of inserts are reliable within one run. A crash may lose some of them.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { MillraceError } from '../../runtime/errors.ts'

/**
 * A table in memory is empty after each start of the server. The first consumer that finds it empty
 * inserts a new id.
 */
export const serverRunStatement = `CREATE TABLE IF NOT EXISTS server_lifetime (id UUID COMMENT 'names this run of the server')
ENGINE = Memory COMMENT 'Empty after each start: tells whether the server has been restarted since a batch was announced'`

/**
 * Id of the server's current run. Two consumers that insert an id at the same time may read
 * different ids for a moment. They then treat the run as a new one, which costs one recomputation
 * of aggregates.
 */
export async function serverRunId(clickhouse: Clickhouse): Promise<string> {
  for (;;) {
    const [row] = await clickhouse.rows<{ id: string }>('SELECT min(id) AS id FROM server_lifetime HAVING count() > 0')
    if (row !== undefined) return row.id
    // Read again: a restart right after this statement empties the table.
    await clickhouse.command('INSERT INTO server_lifetime VALUES (generateUUIDv4())', { async_insert: 0 })
  }
}

/** ClickHouse may have lost rows, so the consumer compares everything again. */
export function restarted(): MillraceError {
  return new MillraceError('FENCED', {
    what: 'ClickHouse was restarted',
    next: 'none: the consumer compares ClickHouse with the topics first',
  })
}

/**
 * Makes consumers treat the server as restarted. Call before emptying tables that views fill. Such
 * tables lose the tokens of an open batch, and would take its rows a second time if the whole batch
 * were sent again.
 */
export async function forgetServerRun(clickhouse: Clickhouse): Promise<void> {
  await clickhouse.command('TRUNCATE TABLE server_lifetime')
}
