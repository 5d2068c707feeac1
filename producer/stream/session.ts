// producer/stream/session: opens the parts of one stream, in the order in which they depend on each
// other.

import { type Generation, publicationOf, watermarksTopic } from '../../contract/generation.ts'
import type { ChangeStream } from '../../postgres/change-source.ts'
import { runPeriodically } from '../../postgres/client/periodic.ts'
import { heartbeat } from '../../postgres/replication/heartbeat.ts'
import { openStream } from '../../postgres/replication/stream.ts'
import { watchStream } from '../../postgres/replication/stream-watch.ts'
import type { Disposables } from '../../runtime/disposables.ts'
import { reportWithheld } from '../capture/column-classification.ts'
import type { ProducerContext } from '../context.ts'
import type { Prepared } from '../generation/generation.ts'
import { openTopicWriters, type TopicWriters } from '../write/topic-writers.ts'
import { Heartbeats } from './heartbeats.ts'
import { watchLateTables } from './late-tables.ts'
import { LsnTracker } from './lsn-tracker.ts'
import { Router, type RouterOptions } from './router.ts'
import { openWatermarks, type Watermarks } from './watermark.ts'

export interface Session {
  readonly stream: ChangeStream
  readonly topics: TopicWriters
  readonly watermarks: Watermarks
}

export interface SessionOptions {
  /** Receives each part as soon as it is open, even when a later one cannot be opened. */
  readonly disposables: Disposables
  /** Ends the session with its first failure. */
  fail(error: unknown): void
  readonly signal: AbortSignal
}

/**
 * Each part uses only parts opened before it. The tracker is first: the topics and the watermarks
 * report to it what is durable. It is connected last, when the stream is open that it acknowledges
 * to.
 * @throws {MillraceError} the first failure of source, topics or watermarks
 */
export async function openSession(
  context: ProducerContext,
  prepared: Prepared,
  { disposables, fail, signal }: SessionOptions,
): Promise<Session> {
  const { config, url, log, progress } = context
  const { generation, tables, loaded } = prepared
  const opening = { ...context, generation, signal, onError: fail }

  const tracker = new LsnTracker(generation.timeline)

  const onWatermark = (lsn: number) => {
    progress.flowed()
    tracker.watermarkDurable(lsn)
  }
  const watermarks = await openWatermarks({ ...opening, onDurable: onWatermark })
  disposables.opened('watermarks', () => watermarks.close())
  const watermark = watermarks.last
  tracker.resume(watermark, loaded)

  const onDurable = (lsn: number) => tracker.topicsDurable(lsn)
  const topics = await openTopicWriters({ ...opening, tables, watermark, onDurable })
  disposables.opened('topics', () => topics.kafkaProducer.close())
  if (loaded) watermarks.publish(loaded)

  const heartbeats = new Heartbeats(generation.slot, log)
  const router = new Router({ ...topics, heartbeats, ...observers(context, generation, { tracker, topics }) })
  reportStreaming(context, { tracker, topics, router })

  const stream = await openStream({
    url,
    slot: generation.slot,
    publication: publicationOf(config.name, generation),
    captured: capturedBefore(context, generation, { tracker, topics }),
    receiver: router,
    log,
    signal,
  })
  disposables.opened('stream', () => stream.close())
  tracker.timeline = stream.start.timeline
  topics.backPressure.attach(stream)
  tracker.connect({
    acknowledge: lsn => stream.acknowledge(lsn),
    publish: () => watermarks.advance(() => tracker.watermark(topics.ends())),
  })

  const everyMs = config.source.heartbeatSeconds * 1000
  const tasks = [
    heartbeat({ prefix: heartbeats.prefix, everyMs, onWritten: us => heartbeats.written(us) }),
    watchStream({ slot: generation.slot, ...stream.start }, { log, fail }),
    prepared.watch.task({ ...topics, durable: () => tracker.durable, fail }),
    watchLateTables(context, generation, tables),
  ]
  const running = runPeriodically({ url, tasks, onTurn: () => progress.pulse.beat(), log, signal })
  disposables.opened('periodic tasks', () => running)
  log.info('streaming', { generation: generation.number, slot: generation.slot })
  return { stream, topics, watermarks }
}

interface Downstream {
  readonly tracker: LsnTracker
  readonly topics: TopicWriters
}

/** What the source's history and the slot are compared with. */
function capturedBefore({ config }: ProducerContext, generation: Generation, { tracker, topics }: Downstream) {
  const { source, consistentPoint, number } = generation
  const durable = Math.max(tracker.watermarked, consistentPoint)
  const recorded = `topic ${watermarksTopic(config.name, number)}`
  return { source, timeline: tracker.timeline, durable, recorded, end: Math.max(durable, topics.replay.end) }
}

/** The callbacks of the router. */
function observers(
  context: ProducerContext,
  generation: Generation,
  { tracker, topics: { replay, kafkaProducer } }: Downstream,
): Required<Pick<RouterOptions, 'onRouted' | 'onWithheld' | 'onUncaptured'>> {
  return {
    onRouted(lsn, commitTimeUs) {
      replay.reach(lsn)
      if (tracker.advance(lsn, commitTimeUs)) kafkaProducer.checkpoint(lsn)
    },
    onWithheld: (table, columns) => reportWithheld(context, table, columns),
    onUncaptured: table => reportUncaptured(context, publicationOf(context.config.name, generation), table),
  }
}

function reportUncaptured({ log, progress }: ProducerContext, publication: string, table: string): void {
  if (!progress.uncaptured(table)) return
  log.warn('changes of a table that is not captured are ignored', {
    table,
    next: `it is in the publication ${publication}; capture it by a new generation, or remove it by ALTER PUBLICATION … DROP TABLE`,
  })
}

function reportStreaming({ progress }: ProducerContext, parts: Downstream & { readonly router: Router }): void {
  const { tracker, topics, router } = parts
  progress.begin('streaming', {
    ...topics,
    received: () => router.received,
    durable: () => tracker.acknowledged,
    commitTimeUs: () => tracker.commitTimeUs,
    pendingBytes: () => topics.kafkaProducer.pendingBytes,
  })
}
