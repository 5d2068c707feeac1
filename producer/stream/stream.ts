// producer/stream/stream: a live generation's changes from its slot into its topics, until asked to stop or until something breaks.

import { once } from 'node:events'
import { type Generation, publicationOf, watermarksTopic } from '../../contract/generation.ts'
import { type PeriodicTask, runPeriodically } from '../../postgres/client/periodic.ts'
import { heartbeat } from '../../postgres/replication/heartbeat.ts'
import { openStream, type ReplicationStream } from '../../postgres/replication/stream.ts'
import { watchStream } from '../../postgres/replication/stream-watch.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { endsWithin } from '../../runtime/wait.ts'
import { reportHeldBack } from '../capture/column-classification.ts'
import type { ProducerContext } from '../context.ts'
import type { Prepared } from '../generation/generation.ts'
import { type Destination, openDestination } from '../write/topic-writers.ts'
import { Heartbeats } from './heartbeats.ts'
import { newcomers } from './late-tables.ts'
import { LsnTracker } from './lsn-tracker.ts'
import { untilSucceeded } from './newer-generation.ts'
import { Router, type RouterOptions } from './router.ts'
import { openWatermarks, type Watermarks } from './watermark.ts'

/** What has been appended gets so long to become durable when the producer is asked to stop; the rest is sent again. */
const farewellMs = 3_000
/** Kafka takes nothing if nothing was acknowledged for so long. */
const stalledMs = 700

/**
 * Streams until the context's signal fires or a younger generation is live, and then resolves.
 * @param lost rejects when the generation may have another producer
 * @throws {MillraceError} the first failure of source, topics or watermarks; nothing is lost by starting again
 */
export async function streamChanges(context: ProducerContext, prepared: Prepared, lost: Promise<never>): Promise<void> {
  const failure = new AbortController()
  lost.catch(error => failure.abort(error))
  const signal = AbortSignal.any([context.signal, failure.signal])
  const { progress } = context
  const ends: (() => Promise<void>)[] = []
  let session: Session | undefined
  try {
    session = await openSession(context, prepared, { failure, signal, ends })
    const succeeded = untilSucceeded(context, prepared.generation, signal)
    succeeded.catch(error => signal.aborted || failure.abort(error))
    const stopped = signal.aborted ? undefined : once(signal, 'abort').then(() => undefined)
    const successor = await Promise.race([session.stream.ended, stopped, succeeded.catch(() => undefined)])
    failure.signal.throwIfAborted()
    if (successor) reportSuccessor(context, prepared.generation, successor)
    await sayFarewell(session)
  } catch (error) {
    // What was read before is right, and is not read on its own again.
    if (session && error instanceof MillraceError && !error.retriable) await sayFarewell(session).catch(() => {})
    throw error
  } finally {
    progress.end()
    failure.abort()
    await Promise.all(ends.reverse().map(end => end()))
  }
}

interface Downstream {
  readonly tracker: LsnTracker
  readonly watermarks: Watermarks
  readonly destination: Destination
}

interface Session extends Downstream {
  readonly stream: ReplicationStream
}

interface SessionParts {
  readonly failure: AbortController
  readonly signal: AbortSignal
  /** Closes what has been opened: begun with the last, and then all at once, since each may wait for a peer that is gone. */
  readonly ends: (() => Promise<void>)[]
}

async function openSession(context: ProducerContext, prepared: Prepared, parts: SessionParts): Promise<Session> {
  const { config, url, log, progress } = context
  const { generation, tables } = prepared
  const { signal, ends } = parts
  let stream: ReplicationStream | undefined
  const acknowledge = (lsn: number) => stream?.acknowledge(lsn)
  const downstream = await openDownstream(context, prepared, { ...parts, acknowledge })
  const { tracker, destination } = downstream
  const { replay, sink } = destination
  const reach = (lsn: number, commitTimeUs?: number) => {
    replay.reach(lsn)
    if (tracker.advance(lsn, commitTimeUs)) sink.mark(lsn)
  }
  const heartbeats = new Heartbeats(generation.slot, log)
  const router = new Router({ ...destination, heartbeats, onCommit: reach, ...reporters(context, generation) })
  progress.begin('streaming', {
    ...destination,
    received: () => stream?.lastReceived() ?? 0,
    durable: () => tracker.acknowledged,
    commitTimeUs: () => tracker.commitTimeUs,
    pendingBytes: () => sink.pendingBytes,
  })
  const durable = Math.max(tracker.watermarked, generation.consistentPoint)
  stream = await openStream({
    url,
    slot: generation.slot,
    publication: publicationOf(config.name, generation),
    captured: {
      source: generation.source,
      timeline: tracker.timeline,
      durable,
      recorded: `topic ${watermarksTopic(config.name, generation.number)}`,
      end: Math.max(durable, replay.end),
    },
    onStart: ({ confirmedLsn, timeline }) => {
      tracker.timeline = timeline
      replay.startAt(confirmedLsn)
    },
    handler: router,
    // In the middle of a transaction it speaks of what lies before it.
    onKeepalive: walEnd => router.inTransaction || reach(walEnd),
    log,
    signal,
  })
  const opened = stream
  ends.push(() => opened.close())
  stream.acknowledge(tracker.acknowledged)
  destination.backPressure.attach(stream)
  const fail = (error: unknown) => parts.failure.abort(error)
  const tasks = [
    beat(context, heartbeats),
    watchStream({ slot: generation.slot, ...stream.server() }, { log, fail }),
    prepared.watch.beside({ ...destination, durable: () => tracker.durable, fail }),
    newcomers(context, generation, tables),
  ]
  const beside = runPeriodically({ url, tasks, onTurn: () => progress.pulse.beat(), log, signal })
  ends.push(() => beside)
  log.info('streaming', { generation: generation.number, slot: generation.slot })
  return { ...downstream, stream }
}

/** The topics, opened where the last watermark says that they are complete, and what is known of how far they are. */
async function openDownstream(
  context: ProducerContext,
  { generation, tables, loaded }: Prepared,
  { failure, signal, ends, acknowledge }: SessionParts & { acknowledge(lsn: number): void },
): Promise<Downstream> {
  const opening = { ...context, generation, signal, onError: (error: unknown) => failure.abort(error) }
  const watermarks = await openWatermarks({
    ...opening,
    current: () => tracker.watermark(destination.ends()),
    onDurable: lsn => {
      context.progress.flowed()
      tracker.watermarked = lsn
      acknowledge(tracker.acknowledged)
    },
  })
  ends.push(() => watermarks.close())
  const { last: watermark } = watermarks
  const { commitTimeUs, timeline } = loaded ?? watermark ?? { commitTimeUs: 0, timeline: generation.timeline }
  const tracker = new LsnTracker({ commitTimeUs, timeline, watermarked: watermark?.lsn ?? 0 })
  const onDurable = (lsn: number) => {
    tracker.durable = lsn
    acknowledge(tracker.acknowledged)
    watermarks.advance()
  }
  const destination = await openDestination({ ...opening, tables, watermark, onDurable })
  ends.push(() => destination.sink.close())
  if (loaded) watermarks.publish(loaded)
  return { tracker, watermarks, destination }
}

function beat({ config }: ProducerContext, heartbeats: Heartbeats): PeriodicTask {
  const everyMs = config.source.heartbeatSeconds * 1000
  return heartbeat({ prefix: heartbeats.prefix, everyMs, onWritten: us => heartbeats.written(us) })
}

function reporters(
  context: ProducerContext,
  generation: Generation,
): Required<Pick<RouterOptions, 'onHeldBack' | 'onForeign'>> {
  const publication = publicationOf(context.config.name, generation)
  return {
    onHeldBack: (table, columns) => reportHeldBack(context, table, columns),
    onForeign: table => reportForeign(context, publication, table),
  }
}

function reportForeign({ log, progress }: ProducerContext, publication: string, table: string): void {
  if (!progress.foreign(table)) return
  log.warn('changes of a table that is not captured are passed over', {
    table,
    next: `it is in the publication ${publication}; capture it by a new generation, or take it out by ALTER PUBLICATION … DROP TABLE`,
  })
}

function reportSuccessor({ log }: ProducerContext, { number, slot }: Generation, successor: Generation): void {
  log.warn('a younger generation is live; going over to it', {
    generation: successor.number,
    next: `slot ${slot} keeps WAL until it is dropped: millrace generations drop ${number}`,
  })
}

/**
 * Lets what has been read become durable and acknowledged, so that little is sent again after the next start. While Kafka takes nothing,
 * there is nothing to wait for.
 */
async function sayFarewell({ stream, destination, watermarks }: Session): Promise<void> {
  stream.pause()
  const { sink } = destination
  const settled = sink.flush().then(() => watermarks.flush())
  const deadline = performance.now() + farewellMs
  let isSettled = false
  let before: number
  do {
    before = sink.pendingBytes
    isSettled = await endsWithin(settled, stalledMs)
  } while (!isSettled && sink.pendingBytes < before && performance.now() < deadline)
}
