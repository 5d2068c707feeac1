// producer/run: the producer's one loop: a generation, streamed until something breaks, and again.

import { MillraceError } from '../runtime/errors.ts'
import { Reminder } from '../runtime/reminder.ts'
import { type Backoff, backoffMs, sleep } from '../runtime/wait.ts'
import type { ProducerContext } from './context.ts'
import { type Prepared, withGeneration } from './generation/generation.ts'
import { streamChanges } from './stream/stream.ts'

const backoff: Backoff = { firstMs: 100, longestMs: 3_000 }
/** What Postgres itself calls an internal error may last; trying again costs it the decoding of everything since the slot's place. */
const decodingBackoff: Backoff = { firstMs: 100, longestMs: 60_000 }
/** So many in a row are all logged; later ones when they have another reason, and again after growing pauses. */
const fewFailures = 10
/** An attempt that went well for so long is no part of a row of failures. */
const healthyMs = 10_000

/**
 * Captures until the context's signal fires. What passes by itself (Postgres or Kafka down, a rejected batch, another producer
 * still running) is tried again for ever, from the last record in the topics and from where the slot stands.
 * @param fresh begin a new generation, once
 * @throws {MillraceError} whatever needs an operator
 */
export async function runCapture(context: ProducerContext, fresh: boolean): Promise<void> {
  const { log, signal, progress } = context
  let failures = 0
  let since = ''
  let begin = fresh
  const reminder = new Reminder()
  const stream = async (prepared: Prepared, lost: Promise<never>) => {
    begin = false
    const started = performance.now()
    try {
      await streamChanges(context, prepared, lost)
    } finally {
      if (performance.now() - started > healthyMs) failures = 0
    }
  }
  while (!signal.aborted) {
    progress.pulse.beat()
    try {
      await withGeneration(context, begin, stream)
    } catch (error) {
      if (signal.aborted) return
      progress.failed(error)
      if (!(error instanceof MillraceError && error.retriable)) throw error
      if (failures === 0) {
        since = new Date().toISOString()
        reminder.forget()
      }
      const waitMs = backoffMs(++failures, error.code === 'DECODING_FAILED' ? decodingBackoff : backoff)
      if (failures <= fewFailures || reminder.isDue(error.code)) {
        const { code, message, where, next } = error
        log.warn('capture was interrupted, going on', { code, error: message, where, next, failures, since, waitMs })
      }
      await sleep(waitMs, signal).catch(() => {})
    }
  }
}
