// consumer/upkeep: while changes flow, what they leave in parts is merged now and then.
// May know: clickhouse/{client,merge}, consumer/watermark, runtime/log. Beside the fold, which never waits for it.

import type { Clickhouse } from '../clickhouse/client.ts'
import { mergeGrown } from '../clickhouse/merge.ts'
import type { Log } from '../runtime/log.ts'
import { hasWatermark } from './watermark.ts'

const minute = 60_000

export interface Upkeep {
  readonly log: Log
  /** Whether it is this member of the group that looks: one is enough. */
  isOurs(): boolean
  readonly everyMs?: number
}

/**
 * Looks every minute, once the load is visible: until then nobody reads, and what it leaves is merged at its end. `clickhouse` is its own
 * connection, closed by the function that is returned: a merge that runs then goes on in the server.
 */
export function keepMerged(clickhouse: Clickhouse, { log, isOurs, everyMs = minute }: Upkeep): () => Promise<void> {
  const stopped = new AbortController()
  const { signal } = stopped
  let running: Promise<void> | undefined
  const look = async () => {
    if (isOurs() && (await hasWatermark(clickhouse))) await mergeGrown(clickhouse, log, signal)
  }
  const timer = setInterval(() => {
    running ??= look()
      .catch(error => {
        if (!signal.aborted) log.warn('could not look for parts to merge', { reason: String(error) })
      })
      .finally(() => {
        running = undefined
      })
  }, everyMs)
  return async () => {
    clearInterval(timer)
    stopped.abort()
    await clickhouse.close()
    await running
  }
}
