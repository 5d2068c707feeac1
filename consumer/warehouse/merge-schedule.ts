// consumer/warehouse/merge-schedule: periodically merges small parts and removes old tombstones.
// Runs beside the inserts, which never wait for it.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { mergeGrown } from '../../clickhouse/merge.ts'
import { removeTombstones } from '../../clickhouse/tombstones.ts'
import type { Log } from '../../runtime/log.ts'
import { readWatermark, type WrittenWatermark } from './watermark.ts'

const minute = 60_000
/** Longer than any statement continues after its client has gone. */
const hour = 60 * minute

export interface MergeScheduleOptions {
  readonly log: Log
  /** Whether this member of the group runs the merges. One member does. */
  isOurs(): boolean
  readonly everyMs?: number
  /** A tombstone is removed after it has been visible for one to two times this time. */
  readonly tombstoneMs?: number
}

/** Everything below its LSN was visible at that time, by `performance.now`. */
interface SeenWatermark {
  readonly lsn: string
  readonly at: number
}

/**
 * Runs every minute after the initial load has become visible. The parts of the load are merged at
 * its end. `clickhouse` is a connection of its own. The returned function closes it, and a running
 * merge then continues in the server.
 */
export function scheduleMerges(clickhouse: Clickhouse, options: MergeScheduleOptions): () => Promise<void> {
  const { log, isOurs, everyMs = minute, tombstoneMs = hour } = options
  const stopped = new AbortController()
  const { signal } = stopped
  let running: Promise<void> | undefined
  let seen: SeenWatermark | undefined
  const run = async () => {
    const watermark = isOurs() ? await readWatermark(clickhouse) : undefined
    if (watermark === undefined) return
    const now = performance.now()
    if (seen === undefined || now - seen.at > tombstoneMs) {
      if (seen !== undefined) await removeTombstones(clickhouse, boundsOf(seen, watermark), { log, signal })
      seen = { lsn: watermark.lsn, at: now }
    }
    await mergeGrown(clickhouse, log, signal)
  }
  const timer = setInterval(() => {
    running ??= run()
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
 * A watermark is written only while no member compares a new assignment. So a part that is older
 * than a watermark contains no tombstones that such a comparison has restored and still needs.
 */
function boundsOf({ lsn }: SeenWatermark, { writtenAt }: WrittenWatermark) {
  return { below: lsn, writtenBefore: writtenAt }
}
