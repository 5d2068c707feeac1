// consumer/warehouse/server-run: which run of the ClickHouse server this is.
// Tokens of inserts are certain within one run: what a crash leaves of them is not.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { MillraceError } from '../../runtime/errors.ts'

/** A table in memory is empty after every start of the server, so whoever finds it empty names the new run. */
export const lifetimeStatement = `CREATE TABLE IF NOT EXISTS server_lifetime (id UUID COMMENT 'names this run of the server')
ENGINE = Memory COMMENT 'Empty after each start: tells whether the server has been restarted since a batch was announced'`

/**
 * Name of the server's present run. Two who name it at once may read different names for a moment, and then take the run for a new
 * one, which costs a recomputation and nothing else.
 */
export async function serverLifetime(clickhouse: Clickhouse): Promise<string> {
  for (;;) {
    const [row] = await clickhouse.rows<{ id: string }>('SELECT min(id) AS id FROM server_lifetime HAVING count() > 0')
    if (row !== undefined) return row.id
    // A server that is restarted right after this is empty again.
    await clickhouse.command('INSERT INTO server_lifetime VALUES (generateUUIDv4())', { async_insert: 0 })
  }
}

/** What it held may be gone, so everything is looked at again. */
export function restarted(): MillraceError {
  return new MillraceError('FENCED', {
    what: 'ClickHouse was restarted',
    next: 'none: what it holds is compared first',
  })
}

/**
 * Has the next one who asks take the server for restarted. Whoever empties tables that views fill calls it first: they no longer know the
 * tokens of a batch that is open, and would take its rows a second time if all of it were sent again.
 */
export async function endLifetime(clickhouse: Clickhouse): Promise<void> {
  await clickhouse.command('TRUNCATE TABLE server_lifetime')
}
