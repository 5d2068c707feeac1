// postgres/replication/stream-watch: checks on another connection that a running stream is still
// valid.

import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { type Client, query } from '../client/client.ts'
import type { PeriodicTask } from '../client/periodic.ts'

export interface WatchedStream {
  readonly slot: string
  /** Server process (walsender) that serves the stream. */
  readonly pid: number
  /** Timeline of the server when the stream began. */
  readonly timeline: number
}

interface ObservedStream {
  readonly standby: boolean
  readonly timeline: number | null
  readonly pid: number | null
  readonly wal_status: string | null
}

const everyMs = 5_000

/**
 * Checks every 5 s. A slot that is being read can neither be moved nor dropped. So it is enough
 * that the stream's own server process reads the slot, on the timeline on which the stream began.
 * Otherwise the stream ends; the opening of the next one compares everything, and reports what is
 * lost.
 * @param fail ends the stream
 * @see https://www.postgresql.org/docs/current/view-pg-replication-slots.html
 */
export function watchStream(
  stream: WatchedStream,
  { log, fail }: { readonly log: Log; fail(error: MillraceError): void },
): PeriodicTask {
  let wasNearEnd = false
  return {
    complaint: "the stream's slot and server could not be looked at",
    everyMs,
    async run(client) {
      const seen = await look(client, stream.slot)
      const why = whatIsWrong(stream, seen)
      if (why !== undefined) fail(noLongerServed(stream, why))
      const isNearEnd = seen.wal_status === 'unreserved'
      if (isNearEnd && !wasNearEnd) {
        const next = 'raise max_slot_wal_keep_size at once, and let the producer catch up'
        log.warn('Postgres is about to invalidate the slot', { slot: stream.slot, next })
      }
      wasNearEnd = isNearEnd
    },
  }
}

/**
 * The name of a WAL file begins with its timeline, as eight hexadecimal digits. A standby does not
 * report it.
 */
async function look(client: Client, slot: string): Promise<ObservedStream> {
  const [seen] = await query<ObservedStream>(
    client,
    `SELECT pg_is_in_recovery() AS standby, s.active_pid AS pid, s.wal_status, CASE WHEN NOT pg_is_in_recovery()
       THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END AS timeline
     FROM (VALUES (1)) one LEFT JOIN pg_replication_slots s ON s.slot_name = $1 AND s.database = current_database()`,
    [slot],
  )
  return seen!
}

function whatIsWrong({ pid, timeline }: WatchedStream, seen: ObservedStream): string | undefined {
  if (seen.standby) return 'that is a standby now'
  if (seen.timeline !== timeline)
    return `that is on timeline ${seen.timeline}, and the stream began on timeline ${timeline}`
  if (seen.wal_status === null) return 'that has no such slot any more'
  if (seen.wal_status === 'lost') return 'that has invalidated the slot'
  if (seen.pid !== pid)
    return `there the slot is read by ${seen.pid === null ? 'nobody' : `another process, pid ${seen.pid}`}`
  return undefined
}

function noLongerServed({ slot }: WatchedStream, why: string): MillraceError {
  return new MillraceError('POSTGRES_UNREACHABLE', {
    what: `the stream does not come from the server that source.url leads to: ${why}`,
    where: `slot ${slot}`,
    next: 'none: the producer connects again, and compares slot, timeline and WAL with what it has captured',
  })
}
