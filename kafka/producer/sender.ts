// kafka/producer/sender: sends the batches of the partition queues to the leaders, and repeats each
// until it is acknowledged.

import { MillraceError } from '../../runtime/errors.ts'
import { backoffMs, sleep } from '../../runtime/wait.ts'
import { answeredError, errorFromCode, isRetriable } from '../client/broker.ts'
import type { BrokerConnections } from '../client/broker-connections.ts'
import type { KafkaConnection } from '../client/cluster.ts'
import { describe, kafkaError, quietAtFirst, requestBackoff } from '../client/errors.ts'
import { latest, listOffsets } from '../client/offsets.ts'
import type { PartitionQueue } from './partition-queue.ts'
import { type ProduceResult, parseProduceResponse, produceRequest } from './produce-request.ts'

export interface CourierOptions {
  readonly connection: KafkaConnection
  readonly connections: BrokerConnections
  readonly maxRequestBytes: number
  /** Called after an acknowledgement, and when a leader has become free. */
  readonly onProgress: () => void
  /**
   * Called once, when a batch can neither be acknowledged nor repeated. Nothing is sent afterwards.
   */
  readonly onFailure: (error: MillraceError) => void
}

const alreadyAppended = 'DUPLICATE_SEQUENCE_NUMBER'
const tooLarge = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'])

/** Sends one request at a time to each leader, with one batch of each of its partitions. */
export class Sender {
  readonly #options: CourierOptions
  /** Queues with a batch to send and none in flight. */
  readonly #ready = new Set<PartitionQueue>()
  readonly #busyLeaders = new Set<number>()
  readonly #stop = new AbortController()

  constructor(options: CourierOptions) {
    this.#options = options
  }

  /** Must be called when a queue is no longer empty. */
  add(queue: PartitionQueue): void {
    this.#ready.add(queue)
  }

  stop(): void {
    this.#stop.abort()
    this.#options.connections.close()
  }

  /** Sends to every leader without a request in flight. */
  dispatch(): void {
    if (this.#stop.signal.aborted) return
    const byLeader = new Map<number, PartitionQueue[]>()
    const leaderless: PartitionQueue[] = []
    try {
      for (const queue of this.#ready) {
        const leader = this.#options.connection.leader(queue.topic, queue.partition)
        if (leader === undefined) leaderless.push(queue)
        else if (this.#busyLeaders.has(leader)) continue
        else if (byLeader.has(leader)) byLeader.get(leader)!.push(queue)
        else byLeader.set(leader, [queue])
      }
    } catch (error) {
      this.#fail(kafkaError(error, 'find the leaders of the topics'))
      return
    }
    if (leaderless.length > 0) void this.#repeat(leaderless, 'no leader is known')
    for (const [leader, queues] of byLeader) void this.#send(leader, this.#load(queues))
  }

  /** The queues whose batches fit into one request, at least one. The others keep their place. */
  #load(queues: readonly PartitionQueue[]): PartitionQueue[] {
    const loaded: PartitionQueue[] = []
    let bytes = 0
    for (const queue of queues) {
      bytes += queue.oldest()!.bytes.length
      if (loaded.length > 0 && bytes > this.#options.maxRequestBytes) break
      loaded.push(queue)
    }
    return loaded
  }

  async #send(leader: number, queues: readonly PartitionQueue[]): Promise<void> {
    for (const queue of queues) this.#ready.delete(queue)
    this.#busyLeaders.add(leader)
    try {
      const link = await this.#options.connections.to(leader)
      const response = await link.send(produceRequest(queues.map(batchOf)))
      await this.#settle(queues, parseProduceResponse(response))
    } catch (error) {
      if (isRetriable(error)) void this.#repeat(queues, describe(error))
      else this.#fail(kafkaError(error, 'send records'))
    } finally {
      this.#busyLeaders.delete(leader)
      if (!this.#stop.signal.aborted) this.#options.onProgress()
    }
  }

  async #settle(queues: readonly PartitionQueue[], results: readonly ProduceResult[]): Promise<void> {
    const byPartition = new Map(results.map(result => [`${result.topic}/${result.partition}`, result]))
    const refused: PartitionQueue[] = []
    let reason = ''
    for (const queue of queues) {
      const result = byPartition.get(`${queue.topic}/${queue.partition}`)
      const error = result?.errorCode === 0 ? undefined : errorFromCode(result?.errorCode ?? -1)
      if (result && error === undefined) this.#acknowledge(queue, result.baseOffset)
      else if (answeredError(error) === alreadyAppended) await this.#acknowledgeRepeated(queue)
      else if (result && isRetriable(error)) {
        refused.push(queue)
        reason = describe(error)
      } else this.#fail(rejected(queue, error))
    }
    if (refused.length > 0) void this.#repeat(refused, reason)
  }

  #acknowledge(queue: PartitionQueue, baseOffset: number): void {
    if (baseOffset < queue.endOffset) this.#fail(truncated(queue, baseOffset))
    else if (baseOffset > queue.endOffset && !queue.isShared) this.#fail(foreign(queue, baseOffset))
    else {
      queue.acknowledge(baseOffset)
      if (queue.firstPending !== Number.POSITIVE_INFINITY) this.#ready.add(queue)
    }
  }

  /**
   * The broker has the batch but no longer knows its offset. No other batch is in flight, so it is
   * the last one in the log.
   */
  async #acknowledgeRepeated(queue: PartitionQueue): Promise<void> {
    const { connection, connections } = this.#options
    const ends = await listOffsets(connection, connections, {
      topic: queue.topic,
      at: latest,
      signal: this.#stop.signal,
    })
    this.#acknowledge(queue, ends[queue.partition]! - queue.oldest()!.count)
  }

  /** Sends the same bytes to the current leader after a pause. Never rejects. */
  async #repeat(queues: readonly PartitionQueue[], reason: string): Promise<void> {
    const { connection, onProgress } = this.#options
    const attempt = Math.max(...queues.map(queue => ++queue.failures))
    const [{ topic, partition }] = queues as [PartitionQueue]
    for (const queue of queues) this.#ready.delete(queue)
    if (this.#stop.signal.aborted) return
    connection.log[quietAtFirst(attempt)]('records are not acknowledged, sending them again', {
      reason,
      attempt,
      topic,
      partition,
      partitions: queues.length,
    })
    try {
      await sleep(backoffMs(attempt, requestBackoff), this.#stop.signal)
      await connection.refresh(queues.map(queue => queue.topic))
    } catch (error) {
      if (this.#stop.signal.aborted) return
      connection.log.warn('the cluster cannot be asked for leaders', { reason: describe(error) })
    }
    for (const queue of queues) this.#ready.add(queue)
    onProgress()
  }

  #fail(error: MillraceError): void {
    if (this.#stop.signal.aborted) return
    this.stop()
    this.#options.onFailure(error)
  }
}

function batchOf(queue: PartitionQueue): { topic: string; partition: number; batch: Buffer } {
  return { topic: queue.topic, partition: queue.partition, batch: queue.oldest()!.bytes }
}

function rejected(queue: PartitionQueue, error: unknown): MillraceError {
  const where = placeOf(queue)
  const answer = answeredError(error) ?? ''
  if (answer.includes('AUTHORIZATION')) return kafkaError(error, 'write to a topic', where)
  const what = `the broker refused a batch: ${describe(error)}`
  if (tooLarge.has(answer))
    return new MillraceError('RECORD_TOO_LARGE', {
      what,
      where,
      next: `raise max.message.bytes of topic ${queue.topic} above the largest record`,
      cause: error,
    })
  return new MillraceError('PRODUCE_REJECTED', {
    what,
    where,
    next: 'continue from the last record in the topics',
    cause: error,
  })
}

function truncated(queue: PartitionQueue, baseOffset: number): MillraceError {
  return new MillraceError('OFFSETS_MISSING', {
    what: `the log continues at offset ${baseOffset}, although every record below offset ${queue.endOffset} was acknowledged`,
    where: placeOf(queue),
    next: 'acknowledged records are lost (the topic was created again, or an unclean leader was elected); start a new generation: millrace producer --new-generation',
  })
}

function foreign(queue: PartitionQueue, baseOffset: number): MillraceError {
  return new MillraceError('PRODUCE_CONFLICT', {
    what: `${baseOffset - queue.endOffset} records of another writer begin at offset ${queue.endOffset}`,
    where: placeOf(queue),
    next: 'make sure that only one producer of this pipeline runs; it continues from the last record in the topics',
  })
}

function placeOf({ topic, partition }: PartitionQueue): string {
  return `topic ${topic}, partition ${partition}`
}
