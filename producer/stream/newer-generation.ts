// producer/stream/newer-generation: detects that a newer generation has replaced the streamed one.

import { type Generation, generationsTopic } from '../../contract/generation.ts'
import { newestGeneration, readGenerations } from '../../kafka/generations-topic.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sleep } from '../../runtime/wait.ts'
import type { ProducerContext } from '../context.ts'

const askEveryMs = 2_000
/** Brokers that are only just up may not list a topic yet. */
const missingToleranceMs = 10_000

/**
 * Resolves once a newer generation is live, because the consumers then read that one. While Kafka
 * is down, this function waits; the stream reports the error itself.
 * @throws {MillraceError} GENERATION_UNKNOWN when the record of this generation is lost, because no
 *   later start could resume it; the signal's reason
 */
export async function untilSuperseded(
  context: ProducerContext,
  current: Generation,
  signal: AbortSignal,
): Promise<Generation> {
  let seenAt = performance.now()
  for (;;) {
    await sleep(askEveryMs, signal)
    const generations = await known(context, signal)
    if (generations !== 'missing') seenAt = performance.now()
    const isGone = performance.now() - seenAt > missingToleranceMs
    const own = Array.isArray(generations) ? generations.find(({ number }) => number === current.number) : current
    if (isGone || own?.id !== current.id) throw recordLost(context, current)
    const newest = newestGeneration(Array.isArray(generations) ? generations : [])
    if (newest?.state === 'live' && newest.number > current.number) return newest
  }
}

async function known(
  { fetcher, config }: ProducerContext,
  signal: AbortSignal,
): Promise<Generation[] | 'missing' | 'unknown'> {
  try {
    return await readGenerations(fetcher, config.name, signal)
  } catch (error) {
    return error instanceof MillraceError && error.code === 'TOPIC_MISSING' ? 'missing' : 'unknown'
  }
}

function recordLost({ config }: ProducerContext, { number, id }: Generation): MillraceError {
  return new MillraceError('GENERATION_UNKNOWN', {
    what: `the record of generation ${number}, id ${id}, which is being streamed, is missing, or belongs to another generation`,
    where: `topic ${generationsTopic(config.name)}`,
    next: 'restore the topic, or run millrace reset topics, after which everything is loaded again',
  })
}
