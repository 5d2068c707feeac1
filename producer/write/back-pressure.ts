// producer/write/back-pressure: holds the source back while Kafka has not taken what was read.

import type { IdempotentProducer } from '../../kafka/producer/idempotent-producer.ts'
import type { RecordAppender } from './table-writer.ts'

/** Bytes appended and not acknowledged at which reading stops, and below which it goes on. */
const highBytes = 16 * 1024 * 1024
const lowBytes = 8 * 1024 * 1024

export interface Pausable {
  pause(): void
  resume(): void
}

/** The sink, pausing the source while it is full. What the source has read already is still taken. */
export class BackPressure implements RecordAppender {
  readonly #kafkaProducer: IdempotentProducer
  #source: Pausable | undefined
  #waiting: Promise<void> | undefined

  constructor(kafkaProducer: IdempotentProducer) {
    this.#kafkaProducer = kafkaProducer
  }

  /** The source may have been read from before it is attached. */
  attach(source: Pausable): void {
    this.#source = source
    if (this.#waiting !== undefined) source.pause()
  }

  /** Resolves when reading may go on; undefined when it may at once. Never rejects: the sink reports its failure itself. */
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
