// kafka/producer/partition-queue: the unacknowledged records of one partition, as batches with
// consecutive sequence numbers. At most one batch is in flight at any time. It is repeated
// unchanged until it is acknowledged.

import { BatchBuilder, type Compression, recordBytesAtMost } from './batch-builder.ts'

export interface Batch {
  readonly bytes: Buffer
  /** Number of its first record among all records of the producer. */
  readonly first: number
  readonly count: number
}

export interface OutboxOptions {
  readonly topic: string
  readonly partition: number
  readonly producerId: number
  readonly epoch: number
  readonly compression: Compression
  /** Limit of a batch of several records, before compression. */
  readonly maxBatchBytes: number
  readonly builders: BuilderPool
  /** Shared by the queues of one producer. */
  readonly pending: PendingBytes
  /** Whether other writers append to the partition as well. */
  readonly isShared: boolean
  /** End offset of the partition before anything is sent. */
  readonly endOffset: number
}

/** Bytes of the unacknowledged records. */
export interface PendingBytes {
  bytes: number
}

const largestSequence = 2 ** 31 - 1

/** The sequence number after `count` more records; 0 comes after 2^31 − 1. */
export function nextSequence(sequence: number, count: number): number {
  const next = sequence + count
  return next > largestSequence ? next - largestSequence - 1 : next
}

/** Partitions without records to send have no buffer. */
export class BuilderPool {
  readonly #spare: BatchBuilder[] = []
  readonly #maxBatchBytes: number

  constructor(maxBatchBytes: number) {
    this.#maxBatchBytes = maxBatchBytes
  }

  take(): BatchBuilder {
    return this.#spare.pop() ?? new BatchBuilder(2 * this.#maxBatchBytes)
  }

  give(builder: BatchBuilder): void {
    const enough = 16
    if (this.#spare.length < enough) this.#spare.push(builder)
  }
}

export class PartitionQueue {
  readonly topic: string
  readonly partition: number
  readonly isShared: boolean
  /** Offset after the last acknowledged record. */
  endOffset: number
  /** Failed attempts to send the oldest batch. */
  failures = 0
  readonly #options: OutboxOptions
  readonly #closed: Batch[] = []
  #open: BatchBuilder | undefined
  #openFirst = 0
  #openedAt = 0
  #sequence = 0

  constructor(options: OutboxOptions) {
    this.topic = options.topic
    this.partition = options.partition
    this.isShared = options.isShared
    this.endOffset = options.endOffset
    this.#options = options
  }

  /**
   * Copies the record. The first argument is its number; the ranges are as in
   * `BatchBuilder.append`.
   */
  append(number: number, source: Buffer, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    const recordBytes = recordBytesAtMost(keyEnd - keyStart + valueEnd - valueStart)
    const isFull = this.#open && this.#open.bytes + recordBytes > this.#options.maxBatchBytes
    if (this.#open && isFull) this.#close(this.#open)
    this.#open ??= this.#begin(number)
    const builder = this.#open
    const before = builder.count === 0 ? 0 : builder.bytes
    builder.append(source, keyStart, keyEnd, valueStart, valueEnd, this.#openedAt)
    this.#options.pending.bytes += builder.bytes - before
  }

  /** Number of the oldest unacknowledged record; Infinity when there is none. */
  get firstPending(): number {
    return this.#closed[0]?.first ?? (this.#open === undefined ? Number.POSITIVE_INFINITY : this.#openFirst)
  }

  /** The batch to send next: the same one until it is acknowledged. */
  oldest(): Batch | undefined {
    return this.#closed[0] ?? (this.#open === undefined ? undefined : this.#close(this.#open))
  }

  /** The oldest batch is acknowledged with this base offset. */
  acknowledge(baseOffset: number): Batch {
    const batch = this.#closed.shift()!
    this.endOffset = baseOffset + batch.count
    this.failures = 0
    this.#options.pending.bytes -= batch.bytes.length
    return batch
  }

  #begin(number: number): BatchBuilder {
    this.#openFirst = number
    this.#openedAt = Date.now()
    return this.#options.builders.take()
  }

  #close(builder: BatchBuilder): Batch {
    const { producerId, epoch, compression, builders, pending } = this.#options
    const { count, bytes: uncompressed } = builder
    const bytes = builder.finish({ producerId, epoch, sequence: this.#sequence, compression })
    const batch = { bytes, first: this.#openFirst, count }
    this.#sequence = nextSequence(this.#sequence, count)
    this.#closed.push(batch)
    pending.bytes += bytes.length - uncompressed
    builders.give(builder)
    this.#open = undefined
    return batch
  }
}
