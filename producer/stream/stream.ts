// producer/stream/stream: streams a live generation's changes into its topics, until it is stopped
// or fails.

import { once } from 'node:events'
import type { Generation } from '../../contract/generation.ts'
import { Disposables } from '../../runtime/disposables.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { endsWithin } from '../../runtime/wait.ts'
import type { ProducerContext } from '../context.ts'
import type { Prepared } from '../generation/generation.ts'
import { untilSuperseded } from './newer-generation.ts'
import { openSession, type Session } from './session.ts'

/**
 * When the producer stops, appended records get this long to become durable. The next start sends
 * the rest again.
 */
const drainTimeoutMs = 3_000
/** Kafka accepts nothing if it has acknowledged nothing for this long. */
const stalledMs = 700

/**
 * Streams until the context's signal fires or a younger generation is live, and then resolves.
 * @param lost rejects when the generation may have another producer
 * @throws {MillraceError} the first failure of source, topics or watermarks; nothing is lost by
 *   starting again
 */
export async function streamChanges(context: ProducerContext, prepared: Prepared, lost: Promise<never>): Promise<void> {
  const failure = new AbortController()
  const fail = (error: unknown) => failure.abort(error)
  lost.catch(fail)
  const signal = AbortSignal.any([context.signal, failure.signal])
  const disposables = new Disposables()
  let session: Session | undefined
  try {
    session = await openSession(context, prepared, { disposables, fail, signal })
    const succeeded = untilSuperseded(context, prepared.generation, signal)
    succeeded.catch(error => signal.aborted || fail(error))
    const stopped = signal.aborted ? undefined : once(signal, 'abort').then(() => undefined)
    const newer = await Promise.race([session.stream.ended, stopped, succeeded.catch(() => undefined)])
    failure.signal.throwIfAborted()
    if (newer) reportNewerGeneration(context, prepared.generation, newer)
    await drain(session)
  } catch (error) {
    // Changes read before the failure are valid. The drain saves reading them again after the
    // operator's repair.
    if (session && error instanceof MillraceError && !error.retriable) await drain(session).catch(() => {})
    throw error
  } finally {
    context.progress.end()
    failure.abort()
    await disposables.closeTogether()
  }
}

function reportNewerGeneration({ log }: ProducerContext, { number, slot }: Generation, newer: Generation): void {
  log.warn('a newer generation is live and replaces this one', {
    generation: newer.number,
    next: `slot ${slot} keeps WAL until it is dropped: millrace generations drop ${number}`,
  })
}

/**
 * Waits until the changes that were read are durable and acknowledged, so that little is sent again
 * after the next start. It does not wait while Kafka accepts nothing.
 */
async function drain({ stream, topics, watermarks }: Session): Promise<void> {
  stream.pause()
  const { kafkaProducer } = topics
  const settled = kafkaProducer.flush().then(() => watermarks.flush())
  const deadline = performance.now() + drainTimeoutMs
  let isSettled = false
  let before: number
  do {
    before = kafkaProducer.pendingBytes
    isSettled = await endsWithin(settled, stalledMs)
  } while (!isSettled && kafkaProducer.pendingBytes < before && performance.now() < deadline)
}
