// producer/write/back-pressure: pauses reading from the source while Kafka is behind.

import type { IdempotentProducer } from '../../kafka/producer/idempotent-producer.ts'
import type { RecordAppender } from './table-writer.ts'

/**
 * Reading stops above so many appended and unacknowledged bytes, and resumes below the second
 * number.
 */
const highBytes = 16 * 1024 * 1024
const lowBytes = 8 * 1024 * 1024

export interface Pausable {
  pause(): void
  resume(): void
}

/**
 * Appends to the Kafka producer, and pauses the source while too much is unacknowledged. Data that
 * has already arrived is still appended.
 */
export class BackPressure implements RecordAppender {
  readonly #kafkaProducer: IdempotentProducer
  #source: Pausable | undefined
  #waiting: Promise<void> | undefined

  constructor(kafkaProducer: IdempotentProducer) {
    this.#kafkaProducer = kafkaProducer
  }

  /** The source may have delivered changes before it is attached. */
  attach(source: Pausable): void {
    this.#source = source
    if (this.#waiting !== undefined) source.pause()
  }

  /**
   * Resolves when reading may resume; undefined when it may at once. Never rejects: the Kafka
   * producer reports its failure itself.
   */
  get pressure(): Promise<void> | undefined {
    return this.#waiting
  }

  append(
    topicIndex: number,
    partition: number,
    source: Buffer,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    this.#kafkaProducer.append(topicIndex, partition, source, keyStart, keyEnd, valueStart, valueEnd)
    if (this.#kafkaProducer.pendingBytes > highBytes) this.#waiting ??= this.#wait()
  }

  async #wait(): Promise<void> {
    this.#source?.pause()
    await this.#kafkaProducer.drained(lowBytes).catch(() => {})
    this.#waiting = undefined
    this.#source?.resume()
  }
}
