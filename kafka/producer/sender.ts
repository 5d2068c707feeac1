// kafka/producer/sender: takes batches from outboxes to the leaders of their partitions, again and again until each is acknowledged.

import { MillraceError } from '../../runtime/errors.ts'
import { pause } from '../../runtime/pause.ts'
import { answeredError, errorFromCode, isRetriable } from '../client/broker.ts'
import type { KafkaConnection } from '../client/cluster.ts'
import { attemptLevel, backoffMs, describe, kafkaError } from '../client/errors.ts'
import { latest, listOffsets } from '../client/offsets.ts'
import type { Lane } from '../client/user-connections.ts'
import type { Outbox } from './partition-queue.ts'
import { type ProduceResult, parseProduceResponse, produceRequest } from './produce-request.ts'

export interface CourierOptions {
  readonly connection: KafkaConnection
  readonly lane: Lane
  readonly maxRequestBytes: number
  /** Something was acknowledged, or a leader has become free. */
  readonly onProgress: () => void
  /** A batch can neither be acknowledged nor repeated. Called once, and nothing is sent afterwards. */
  readonly onFailure: (error: MillraceError) => void
}

const alreadyAppended = 'DUPLICATE_SEQUENCE_NUMBER'
const tooLarge = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'])

/** One request at a time to each leader, carrying one batch of each of its partitions. */
export class Courier {
  readonly #options: CourierOptions
  /** With something to send and nothing under way. */
  readonly #ready = new Set<Outbox>()
  readonly #busyLeaders = new Set<number>()
  readonly #stop = new AbortController()

  constructor(options: CourierOptions) {
    this.#options = options
  }

  /** The outbox was empty and is no longer. */
  add(outbox: Outbox): void {
    this.#ready.add(outbox)
  }

  stop(): void {
    this.#stop.abort()
    this.#options.lane.close()
  }

  /** Sends to every leader that has nothing under way. */
  dispatch(): void {
    if (this.#stop.signal.aborted) return
    const byLeader = new Map<number, Outbox[]>()
    const leaderless: Outbox[] = []
    try {
      for (const outbox of this.#ready) {
        const leader = this.#options.connection.leader(outbox.topic, outbox.partition)
        if (leader === undefined) leaderless.push(outbox)
        else if (this.#busyLeaders.has(leader)) continue
        else if (byLeader.has(leader)) byLeader.get(leader)!.push(outbox)
        else byLeader.set(leader, [outbox])
      }
    } catch (error) {
      this.#fail(kafkaError(error, 'find the leaders of the topics'))
      return
    }
    if (leaderless.length > 0) void this.#repeat(leaderless, 'no leader is known')
    for (const [leader, outboxes] of byLeader) void this.#send(leader, this.#load(outboxes))
  }

  /** As many as fit into a request, at least one; the others keep their turn. */
  #load(outboxes: readonly Outbox[]): Outbox[] {
    const loaded: Outbox[] = []
    let bytes = 0
    for (const outbox of outboxes) {
      bytes += outbox.oldest()!.bytes.length
      if (loaded.length > 0 && bytes > this.#options.maxRequestBytes) break
      loaded.push(outbox)
    }
    return loaded
  }

  async #send(leader: number, outboxes: readonly Outbox[]): Promise<void> {
    for (const outbox of outboxes) this.#ready.delete(outbox)
    this.#busyLeaders.add(leader)
    try {
      const link = await this.#options.lane.to(leader)
      const response = await link.send(produceRequest(outboxes.map(batchOf)))
      await this.#settle(outboxes, parseProduceResponse(response))
    } catch (error) {
      if (isRetriable(error)) void this.#repeat(outboxes, describe(error))
      else this.#fail(kafkaError(error, 'send records'))
    } finally {
      this.#busyLeaders.delete(leader)
      if (!this.#stop.signal.aborted) this.#options.onProgress()
    }
  }

  async #settle(outboxes: readonly Outbox[], results: readonly ProduceResult[]): Promise<void> {
    const byPartition = new Map(results.map(result => [`${result.topic}/${result.partition}`, result]))
    const refused: Outbox[] = []
    let reason = ''
    for (const outbox of outboxes) {
      const result = byPartition.get(`${outbox.topic}/${outbox.partition}`)
      const error = result?.errorCode === 0 ? undefined : errorFromCode(result?.errorCode ?? -1)
      if (result && error === undefined) this.#acknowledge(outbox, result.baseOffset)
      else if (answeredError(error) === alreadyAppended) await this.#acknowledgeRepeated(outbox)
      else if (result && isRetriable(error)) {
        refused.push(outbox)
        reason = describe(error)
      } else this.#fail(rejected(outbox, error))
    }
    if (refused.length > 0) void this.#repeat(refused, reason)
  }

  #acknowledge(outbox: Outbox, baseOffset: number): void {
    if (baseOffset < outbox.endOffset) this.#fail(truncated(outbox, baseOffset))
    else if (baseOffset > outbox.endOffset && !outbox.isShared) this.#fail(foreign(outbox, baseOffset))
    else {
      outbox.acknowledge(baseOffset)
      if (outbox.firstPending !== Number.POSITIVE_INFINITY) this.#ready.add(outbox)
    }
  }

  /** The broker has the batch but no longer knows where; as ours is the only one under way, it is the last. */
  async #acknowledgeRepeated(outbox: Outbox): Promise<void> {
    const { connection, lane } = this.#options
    const ends = await listOffsets(connection, lane, { topic: outbox.topic, at: latest, signal: this.#stop.signal })
    this.#acknowledge(outbox, ends[outbox.partition]! - outbox.oldest()!.count)
  }

  /** The same bytes go out again after a pause, wherever the leader is by then. Never rejects. */
  async #repeat(outboxes: readonly Outbox[], reason: string): Promise<void> {
    const { connection, onProgress } = this.#options
    const attempt = Math.max(...outboxes.map(outbox => ++outbox.failures))
    const [{ topic, partition }] = outboxes as [Outbox]
    for (const outbox of outboxes) this.#ready.delete(outbox)
    if (this.#stop.signal.aborted) return
    connection.log[attemptLevel(attempt)]('records are not acknowledged, sending them again', {
      reason,
      attempt,
      topic,
      partition,
      partitions: outboxes.length,
    })
    try {
      await pause(backoffMs(attempt), this.#stop.signal)
      await connection.refresh(outboxes.map(outbox => outbox.topic))
    } catch (error) {
      if (this.#stop.signal.aborted) return
      connection.log.warn('the cluster cannot be asked for leaders', { reason: describe(error) })
    }
    for (const outbox of outboxes) this.#ready.add(outbox)
    onProgress()
  }

  #fail(error: MillraceError): void {
    if (this.#stop.signal.aborted) return
    this.stop()
    this.#options.onFailure(error)
  }
}

function batchOf(outbox: Outbox): { topic: string; partition: number; batch: Buffer } {
  return { topic: outbox.topic, partition: outbox.partition, batch: outbox.oldest()!.bytes }
}

function rejected(outbox: Outbox, error: unknown): MillraceError {
  const where = placeOf(outbox)
  const answer = answeredError(error) ?? ''
  if (answer.includes('AUTHORIZATION')) return kafkaError(error, 'write to a topic', where)
  const what = `the broker refused a batch: ${describe(error)}`
  if (tooLarge.has(answer))
    return new MillraceError('RECORD_TOO_LARGE', {
      what,
      where,
      next: `raise max.message.bytes of topic ${outbox.topic} above the largest record`,
      cause: error,
    })
  return new MillraceError('PRODUCE_REJECTED', {
    what,
    where,
    next: 'continue from the last record in the topics',
    cause: error,
  })
}

function truncated(outbox: Outbox, baseOffset: number): MillraceError {
  return new MillraceError('OFFSETS_MISSING', {
    what: `the log goes on at offset ${baseOffset} although everything below ${outbox.endOffset} was acknowledged`,
    where: placeOf(outbox),
    next: 'acknowledged records are lost (topic made anew, or unclean leader election); start a new generation: millrace producer --new-generation',
  })
}

function foreign(outbox: Outbox, baseOffset: number): MillraceError {
  return new MillraceError('PRODUCE_CONFLICT', {
    what: `${baseOffset - outbox.endOffset} records of another writer stand from offset ${outbox.endOffset}`,
    where: placeOf(outbox),
    next: 'make sure that only one producer of this pipeline runs; it continues from the last record in the topics',
  })
}

function placeOf({ topic, partition }: Outbox): string {
  return `topic ${topic}, partition ${partition}`
}
