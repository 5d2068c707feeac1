// consumer/warehouse/merge-schedule: while changes flow, what they leave in parts is merged now and then, and old tombstones are removed.
// Beside the fold, which never waits for it.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { mergeGrown } from '../../clickhouse/merge.ts'
import { removeTombstones } from '../../clickhouse/tombstones.ts'
import type { Log } from '../../runtime/log.ts'
import { readWatermark, type WrittenWatermark } from './watermark.ts'

const minute = 60_000
/** Longer than any statement runs on whose client is gone. */
const hour = 60 * minute

export interface Upkeep {
  readonly log: Log
  /** Whether it is this member of the group that looks: one is enough. */
  isOurs(): boolean
  readonly everyMs?: number
  /** How long a tombstone has been visible before it is removed; at most twice as long. */
  readonly tombstoneMs?: number
}

/** Everything below its LSN was visible at that time, by `performance.now`. */
interface Mark {
  readonly lsn: string
  readonly at: number
}

/**
 * Looks every minute, once the load is visible: until then nobody reads, and what it leaves is merged at its end. `clickhouse` is its own
 * connection, closed by the function that is returned: a merge that runs then goes on in the server.
 */
export function keepMerged(clickhouse: Clickhouse, upkeep: Upkeep): () => Promise<void> {
  const { log, isOurs, everyMs = minute, tombstoneMs = hour } = upkeep
  const stopped = new AbortController()
  const { signal } = stopped
  let running: Promise<void> | undefined
  let mark: Mark | undefined
  const look = async () => {
    const watermark = isOurs() ? await readWatermark(clickhouse) : undefined
    if (watermark === undefined) return
    const now = performance.now()
    if (mark === undefined || now - mark.at > tombstoneMs) {
      if (mark !== undefined) await removeTombstones(clickhouse, boundsOf(mark, watermark), { log, signal })
      mark = { lsn: watermark.lsn, at: now }
    }
    await mergeGrown(clickhouse, log, signal)
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

/**
 * A watermark is written only while nobody takes partitions over. A part that is older than one holds nothing that a takeover has put
 * back and still counts on.
 */
function boundsOf({ lsn }: Mark, { writtenAt }: WrittenWatermark) {
  return { below: lsn, writtenBefore: writtenAt }
}
