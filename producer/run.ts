// producer/run: the producer's one loop: a generation, streamed until something breaks, and again.
// May know: runtime, producer.

import { setTimeout as pause } from 'node:timers/promises'
import { MillraceError } from '../runtime/errors.ts'
import { type Prepared, withGeneration } from './generation.ts'
import { streamChanges } from './stream.ts'
import type { Workspace } from './workspace.ts'

const firstPauseMs = 100
const longestPauseMs = 3_000
/** An attempt that went well for so long is no part of a row of failures. */
const healthyMs = 10_000

/**
 * Captures until the workspace's signal fires. What passes by itself (Postgres or Kafka down, a rejected batch, another producer
 * still running) is tried again for ever, from the last record in the topics and from where the slot stands.
 * @param fresh begin a new generation, once
 * @throws {MillraceError} whatever needs an operator
 */
export async function runCapture(workspace: Workspace, fresh: boolean): Promise<void> {
  const { log, signal, progress } = workspace
  let failures = 0
  let begin = fresh
  const stream = async (prepared: Prepared, lost: Promise<never>) => {
    begin = false
    const started = performance.now()
    try {
      await streamChanges(workspace, prepared, lost)
    } finally {
      if (performance.now() - started > healthyMs) failures = 0
    }
  }
  while (!signal.aborted) {
    try {
      await withGeneration(workspace, begin, stream)
    } catch (error) {
      if (signal.aborted) return
      progress.failed(error)
      if (!(error instanceof MillraceError && error.retriable)) throw error
      const waitMs = Math.round(Math.min(longestPauseMs, firstPauseMs * 2 ** failures++) * (0.5 + Math.random() / 2))
      log.warn('capture was interrupted, going on', { code: error.code, error: error.message, waitMs })
      await pause(waitMs, undefined, { signal }).catch(() => {})
    }
  }
}
