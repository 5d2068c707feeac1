// producer/run: the producer's loop: prepares a generation and streams it; repeats after an error.

import { MillraceError } from '../runtime/errors.ts'
import { Reminder } from '../runtime/reminder.ts'
import { type Backoff, backoffMs, sleep } from '../runtime/wait.ts'
import type { ProducerContext } from './context.ts'
import { type Prepared, withGeneration } from './generation/generation.ts'
import { streamChanges } from './stream/stream.ts'

const backoff: Backoff = { firstMs: 100, longestMs: 3_000 }
/**
 * Postgres' internal errors may last. Each attempt costs Postgres the decoding of everything since
 * the slot's position.
 */
const decodingBackoff: Backoff = { firstMs: 100, longestMs: 60_000 }
/**
 * This many failures in a row are all logged. Later ones are logged when their reason differs, and
 * with growing pauses.
 */
const fewFailures = 10
/** An attempt that succeeds for this long ends a series of failures. */
const healthyMs = 10_000

/**
 * Captures until the context's signal fires. Errors that pass by themselves (Postgres or Kafka
 * down, a rejected batch, another producer still running) are retried for ever, from the last
 * record in the topics and the slot's position.
 * @param fresh begin a new generation, once
 * @throws {MillraceError} any error that needs an operator
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
        log.warn('capture was interrupted and is retried', {
          code,
          error: message,
          where,
          next,
          failures,
          since,
          waitMs,
        })
      }
      await sleep(waitMs, signal).catch(() => {})
    }
  }
}
