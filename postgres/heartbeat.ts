// postgres/heartbeat: a message in the WAL now and then, so that the slot of an idle database moves on.
// May know: postgres/{connect,failure}, runtime/log.

import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '../runtime/log.ts'
import { type Client, connect, query } from './connect.ts'

/** Prefix of our messages in the stream. */
export const heartbeatPrefix = 'millrace.heartbeat'

/** The content is the server's clock in µs since the Unix epoch, by which downstream knows how fresh an idle database is. */
const heartbeat =
  'SELECT pg_logical_emit_message(false, $1, (extract(epoch FROM clock_timestamp()) * 1000000)::int8::text)'

export interface HeartbeatOptions {
  readonly url: string
  readonly everyMs: number
  readonly log: Log
  readonly signal: AbortSignal
}

/**
 * Writes a message every `everyMs` until the signal fires, and then resolves. Other databases of the server may write WAL that
 * a slot holds back although none of it is its own; a message of this database gives the stream something to acknowledge.
 * Failures are logged and tried again at the next beat: what matters is seen by the stream itself.
 */
export async function runHeartbeat({ url, everyMs, log, signal }: HeartbeatOptions): Promise<void> {
  let client: Client | undefined
  while (!signal.aborted) {
    try {
      client ??= await connect(url)
      await query(client, heartbeat, [heartbeatPrefix])
    } catch (error) {
      log.warn('no heartbeat written', { reason: error instanceof Error ? error.message : String(error) })
      await client?.end()
      client = undefined
    }
    await pause(everyMs, undefined, { signal }).catch(() => {})
  }
  await client?.end()
}
