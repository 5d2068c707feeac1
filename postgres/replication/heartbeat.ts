// postgres/replication/heartbeat: a message in the WAL now and then, so that the slot of an idle database moves on.

import { query } from '../client/client.ts'
import type { PeriodicTask } from '../client/periodic.ts'

/** The content is the server's clock in µs since the Unix epoch, by which downstream knows how fresh an idle database is. */
const statement = `SELECT us, pg_logical_emit_message(false, $1, us::text)
  FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS us) clock`

export interface HeartbeatOptions {
  /** Of the messages. It is not shown in pg_stat_activity, as values of statements are not. */
  readonly prefix: string
  readonly everyMs: number
  /** A heartbeat has been written; its time is the server's clock, µs since the Unix epoch. */
  onWritten?(clockUs: number): void
}

/**
 * Writes a message every `everyMs`. Other databases of the server may write WAL that a slot holds back although none of it is its
 * own; a message of this database gives the stream something to acknowledge. What a failure means is seen by the stream itself.
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
