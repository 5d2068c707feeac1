// kafka/producer/idempotent-producer: writes every record exactly once and in order, and reports
// which LSNs are durable.

import { MillraceError } from '../../runtime/errors.ts'
import { orAborted } from '../../runtime/wait.ts'
import type { BrokerConnections } from '../client/broker-connections.ts'
import type { KafkaConnection } from '../client/cluster.ts'
import { retrying } from '../client/errors.ts'
import { latest, listOffsetsOf } from '../client/offsets.ts'
import type { Compression } from './batch-builder.ts'
import { largestBatches, largestRequest } from './broker-limits.ts'
import { Checkpoints } from './checkpoints.ts'
import { BuilderPool, PartitionQueue, type PendingBytes } from './partition-queue.ts'
import { Sender } from './sender.ts'

interface ProducerTopic {
  readonly name: string
  readonly partitions: number
  /**
   * Whether others may write to the topic as well. If not, a foreign record makes the producer
   * fail.
   */
  readonly shared?: boolean
}

export interface ProducerOptions {
  readonly topics: readonly ProducerTopic[]
  readonly compression: Compression
  /** Default 512 KiB, or the topic's limit if that is lower. A single record may exceed it. */
  readonly maxBatchBytes?: number
  /** Called when all records up to this checkpoint are on all in-sync replicas. */
  readonly onDurable: (lsn: number) => void
  /**
   * Called once. The producer then accepts no more records. A new one must begin at the last
   * records in the topics.
   */
  readonly onError: (error: MillraceError) => void
  /** Ends only the opening. */
  readonly signal?: AbortSignal
}

/** The durable content of the topics. */
export interface Durable {
  /** The last checkpoint that `onDurable` was called with; 0 before the first. */
  readonly lsn: number
  /**
   * By index of the topic and partition. Every record up to `lsn` is below this offset, and every
   * record below is acknowledged.
   */
  readonly endOffsets: readonly (readonly number[])[]
}

const defaultMaxBatchBytes = 512 * 1024
/** Room for a request's own fields and the headers of its batches. */
const requestOverhead = 64 * 1024
/** Gzip makes incompressible data slightly larger. */
const batchMargin = 1024

/**
 * Requests a new producer id and the end offsets of the partitions.
 * @throws {MillraceError} TOPIC_MISSING, TOPIC_PARTITIONS_CHANGED, KAFKA_DENIED; the signal's
 *   reason
 */
export async function openProducer(connection: KafkaConnection, options: ProducerOptions): Promise<IdempotentProducer> {
  const { topics, signal } = options
  const [first] = topics
  if (first === undefined) throw new RangeError('a producer must be opened with a topic')
  const connections = connection.openConnections()
  try {
    const pending: PendingBytes = { bytes: 0 }
    const builders = new BuilderPool(options.maxBatchBytes ?? defaultMaxBatchBytes)
    const begin = () =>
      connection.ask(broker => broker.initProducerId({ transactionalId: null, transactionTimeout: 0 }))
    const { producerId, producerEpoch } = await retrying(begin, {
      doing: 'obtain a producer id',
      connection,
      signal,
    })
    const producer = { producerId: Number(producerId), epoch: producerEpoch, compression: options.compression }
    const names = topics.map(({ name }) => name)
    // All topics at once: each later refresh would request all of them again.
    if (names.length > 1) await orAborted(connection.refresh(names), signal)
    for (const { name, partitions } of topics) await connection.requirePartitions(name, partitions, { signal })
    const ends = await listOffsetsOf(connection, connections, { topics: names, at: latest, signal })
    const limits = await largestBatches(connection, names, signal)
    const queues = topics.map(({ name, shared = false }, index) => {
      const maxBatchBytes = Math.min(options.maxBatchBytes ?? defaultMaxBatchBytes, limits[index]! - batchMargin)
      const ofTopic = { ...producer, topic: name, isShared: shared, maxBatchBytes, builders, pending }
      return ends[index]!.map((endOffset, partition) => new PartitionQueue({ ...ofTopic, partition, endOffset }))
    })
    const maxRequestBytes = await largestRequest(connection, connections, { topic: first.name, signal })
    return new IdempotentProducer({ connection, connections, queues, pending, maxRequestBytes, options })
  } catch (error) {
    connections.close()
    throw error
  }
}

interface ProducerParts {
  readonly connection: KafkaConnection
  readonly connections: BrokerConnections
  readonly queues: readonly (readonly PartitionQueue[])[]
  readonly pending: PendingBytes
  readonly maxRequestBytes: number
  readonly options: ProducerOptions
}

interface Waiter {
  readonly isOver: () => boolean
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Sends as soon as a leader is free. Records that arrive meanwhile share the next request, so
 * batches grow with the load.
 */
export class IdempotentProducer {
  readonly #options: ProducerOptions
  readonly #queues: readonly (readonly PartitionQueue[])[]
  readonly #pending: PendingBytes
  readonly #sender: Sender
  readonly #topics: ReadonlyMap<string, number>
  readonly #largestRecord: number
  readonly #checkpoints = new Checkpoints()
  /** Queues with unacknowledged records, and perhaps some that have just become empty. */
  readonly #unsettled = new Set<PartitionQueue>()
  #waiters: Waiter[] = []
  #appended = 0
  #isScheduled = false
  #failure: MillraceError | undefined

  constructor({ connection, connections, queues, pending, maxRequestBytes, options }: ProducerParts) {
    this.#options = options
    this.#queues = queues
    this.#pending = pending
    this.#largestRecord = maxRequestBytes - requestOverhead
    this.#topics = new Map(options.topics.map(({ name }, index) => [name, index]))
    this.#sender = new Sender({
      connection,
      connections,
      maxRequestBytes: this.#largestRecord,
      onProgress: () => this.#schedule(),
      onFailure: error => this.#fail(error),
    })
  }

  /**
   * Index of a topic for `append`.
   * @throws {RangeError} for a topic that the producer was not opened with
   */
  topic(name: string): number {
    const index = this.#topics.get(name)
    if (index === undefined) throw new RangeError(`the producer was not opened with topic ${name}`)
    return index
  }

  /**
   * Copies `source[keyStart, keyEnd)` and `source[valueStart, valueEnd)`; a start of −1 is null.
   * @param topic index as `topic` returns it
   * @throws {MillraceError} RECORD_TOO_LARGE, and the record is not appended; the producer's error
   *   once it has failed
   */
  append(
    topic: number,
    partition: number,
    source: Buffer,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    if (this.#failure) throw this.#failure
    const queue = this.#queues[topic]![partition]!
    const bytes = keyEnd - keyStart + valueEnd - valueStart
    if (bytes > this.#largestRecord) throw recordTooLarge(queue, bytes, this.#largestRecord)
    if (queue.firstPending === Number.POSITIVE_INFINITY) {
      this.#sender.add(queue)
      this.#unsettled.add(queue)
    }
    queue.append(this.#appended, source, keyStart, keyEnd, valueStart, valueEnd)
    this.#appended += 1
    this.#schedule()
  }

  /**
   * Adds a checkpoint: every record appended so far belongs to a transaction that ends at or before
   * this LSN.
   */
  checkpoint(lsn: number): void {
    this.#checkpoints.push(lsn, this.#appended)
    this.#schedule()
  }

  /** Bytes of the unacknowledged records. */
  get pendingBytes(): number {
    return this.#pending.bytes
  }

  durable(): Durable {
    const endOffsets = this.#queues.map(partitions => partitions.map(({ endOffset }) => endOffset))
    return { lsn: this.#checkpoints.durable, endOffsets }
  }

  /**
   * Resolves once at most so many bytes are unacknowledged.
   * @throws {MillraceError} the producer's error
   */
  drained(belowBytes: number): Promise<void> {
    return this.#until(() => this.#pending.bytes <= belowBytes)
  }

  /**
   * Resolves once every record appended before the call is acknowledged.
   * @throws {MillraceError} the producer's error
   */
  flush(): Promise<void> {
    const appended = this.#appended
    return this.#until(() => this.#firstPending() >= appended)
  }

  /** Ends at once and drops unacknowledged records. Call `flush` before to keep them. */
  async close(): Promise<void> {
    this.#sender.stop()
    this.#end(new MillraceError('PRODUCE_REJECTED', { what: 'the producer is closed', next: 'open a new producer' }))
  }

  /**
   * Sends at the end of this turn of the event loop, so that records that arrive together share a
   * request.
   */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (!this.#failure) this.#advance()
    })
  }

  #advance(): void {
    this.#sender.dispatch()
    if (this.#failure) return
    if (this.#checkpoints.advance(this.#firstPending())) this.#options.onDurable(this.#checkpoints.durable)
    this.#waiters = this.#waiters.filter(waiter => {
      if (!waiter.isOver()) return true
      waiter.resolve()
      return false
    })
  }

  /** Number of the oldest unacknowledged record. */
  #firstPending(): number {
    let first = this.#appended
    for (const queue of this.#unsettled) {
      const { firstPending } = queue
      if (firstPending === Number.POSITIVE_INFINITY) this.#unsettled.delete(queue)
      else if (firstPending < first) first = firstPending
    }
    return first
  }

  #until(isOver: () => boolean): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    if (isOver()) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiters.push({ isOver, resolve, reject }))
  }

  #fail(error: MillraceError): void {
    if (this.#end(error)) this.#options.onError(error)
  }

  /** @returns whether this call ended the producer */
  #end(reason: MillraceError): boolean {
    if (this.#failure) return false
    this.#failure = reason
    for (const { reject } of this.#waiters) reject(reason)
    this.#waiters = []
    return true
  }
}

function recordTooLarge({ topic, partition }: PartitionQueue, bytes: number, limit: number): MillraceError {
  return new MillraceError('RECORD_TOO_LARGE', {
    what: `a record of ${bytes} bytes does not fit into a request of ${limit}`,
    where: `topic ${topic}, partition ${partition}`,
    next: "raise the brokers' socket.request.max.bytes and max.message.bytes of the topic, or leave the column out",
  })
}
