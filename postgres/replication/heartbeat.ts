// postgres/replication/heartbeat: writes messages to the WAL, so that the slot of an idle database
// advances.

import { query } from '../client/client.ts'
import type { PeriodicTask } from '../client/periodic.ts'

/**
 * The content is the server's clock in µs since the Unix epoch. It shows downstream how fresh an
 * idle database is.
 */
const statement = `SELECT us, pg_logical_emit_message(false, $1, us::text)
  FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS us) clock`

export interface HeartbeatOptions {
  /**
   * Prefix of the messages. pg_stat_activity does not show it, because it does not show the values
   * of statements.
   */
  readonly prefix: string
  readonly everyMs: number
  /** Called after a heartbeat with its time: the server's clock, µs since the Unix epoch. */
  onWritten?(clockUs: number): void
}

/**
 * Writes a message every `everyMs`. Other databases of the server may write WAL that this slot
 * retains, although none of it is decoded. A message of this database gives the stream an LSN to
 * acknowledge. A failure is only logged, because the stream itself notices a lost server.
 */
export function heartbeat({ prefix, everyMs, onWritten }: HeartbeatOptions): PeriodicTask {
  return {
    complaint: 'no heartbeat written',
    everyMs,
    async run(client) {
      const [written] = await query<{ us: string }>(client, statement, [prefix])
      onWritten?.(Number(written!.us))
    },
  }
}
