// postgres/heartbeat: a message in the WAL now and then, so that the slot of an idle database moves on.
// May know: postgres/{connect,failure}, runtime/log.

import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '../runtime/log.ts'
import { type Client, connect, query } from './connect.ts'

/** The content is the server's clock in µs since the Unix epoch, by which downstream knows how fresh an idle database is. */
const heartbeat = `SELECT us, pg_logical_emit_message(false, $1, us::text)
  FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS us) clock`

export interface HeartbeatOptions {
  readonly url: string
  /** Of the messages. It is not shown in pg_stat_activity, as values of statements are not. */
  readonly prefix: string
  readonly everyMs: number
  /** A heartbeat has been written; its time is the server's clock, µs since the Unix epoch. */
  onWritten?(clockUs: number): void
  readonly log: Log
  readonly signal: AbortSignal
}

/**
 * Writes a message every `everyMs` until the signal fires, and then resolves. Other databases of the server may write WAL that
 * a slot holds back although none of it is its own; a message of this database gives the stream something to acknowledge.
 * Failures are logged and tried again at the next beat: what matters is seen by the stream itself.
 */
export async function runHeartbeat({ url, prefix, everyMs, onWritten, log, signal }: HeartbeatOptions): Promise<void> {
  let client: Client | undefined
  while (!signal.aborted) {
    try {
      client ??= await connect(url)
      const [written] = await query<{ us: string }>(client, heartbeat, [prefix])
      onWritten?.(Number(written!.us))
    } catch (error) {
      log.warn('no heartbeat written', { reason: error instanceof Error ? error.message : String(error) })
      await client?.end()
      client = undefined
    }
    await pause(everyMs, undefined, { signal }).catch(() => {})
  }
  await client?.end()
}
