// producer/stream/watermark: publishes in a topic up to which LSN everything is durable.

import { type Generation, parseWatermark, type Watermark, watermarksTopic } from '../../contract/generation.ts'
import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import type { Fetcher } from '../../kafka/consumer/fetcher.ts'
import { findLastRecord, type RecordContent } from '../../kafka/consumer/last-record.ts'
import { type IdempotentProducer, openProducer } from '../../kafka/producer/idempotent-producer.ts'
import type { Config } from '../../runtime/config/config.ts'
import type { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'

const everyMs = 50
/**
 * 1 MB/s. A watermark has about 10 bytes for each partition: with 40,000 partitions it is 400 KB.
 */
const mostBytesPerMs = 1_000
/** All watermarks have the same key, so that compaction keeps the newest one. */
const key = Buffer.from('watermark')

export interface WatermarkOptions {
  readonly kafka: KafkaConnection
  readonly fetcher: Fetcher
  readonly config: Config
  readonly generation: Generation
  /** The watermark of this LSN is in the log on all in-sync replicas. */
  onDurable(lsn: number): void
  onError(error: MillraceError): void
  readonly log: Log
  readonly signal: AbortSignal
}

/**
 * Uses a Kafka producer of its own, so that a watermark never waits behind records that it does not
 * cover.
 */
export async function openWatermarks(options: WatermarkOptions): Promise<Watermarks> {
  const { kafka, config, generation, onError, signal } = options
  const name = watermarksTopic(config.name, generation.number)
  let watermarks: Watermarks | undefined
  const onDurable = (lsn: number) => {
    options.onDurable(lsn)
    watermarks?.settled()
  }
  const topics = [{ name, partitions: 1 }]
  const kafkaProducer = await openProducer(kafka, { topics, compression: 'none', onDurable, onError, signal })
  try {
    watermarks = new Watermarks(kafkaProducer, await lastWatermark(options, name))
    return watermarks
  } catch (error) {
    await kafkaProducer.close()
    throw error
  }
}

/** Records that are no watermarks were written by another program, and are ignored. */
async function lastWatermark(
  { fetcher, generation, log, signal }: WatermarkOptions,
  topic: string,
): Promise<Watermark | undefined> {
  const parse = (record: RecordContent | undefined) => parseWatermark(record?.value ?? null, generation.tables)
  const isOwn = (record: RecordContent) => parse(record) !== undefined
  const { last, foreign } = await findLastRecord(fetcher, { topic, partition: 0, isOwn }, signal)
  if (foreign) log.warn('records that are no watermarks are ignored', { topic, firstOffset: foreign.offset })
  return parse(last)
}

type WatermarkProducer = Pick<IdempotentProducer, 'append' | 'checkpoint' | 'flush' | 'close'>

export class Watermarks {
  /** The last watermark that this producer or its predecessor wrote. */
  last: Watermark | undefined
  readonly #kafkaProducer: WatermarkProducer
  #timer: NodeJS.Timeout | undefined
  #isUnderWay = false
  /** Returns the watermark to publish next; undefined when nothing new is durable. */
  #due: (() => Watermark | undefined) | undefined
  #nextAt = Number.NEGATIVE_INFINITY

  constructor(kafkaProducer: WatermarkProducer, last: Watermark | undefined) {
    this.#kafkaProducer = kafkaProducer
    this.last = last
  }

  /**
   * Something has become durable. Publishes once the last watermark is durable itself and long
   * enough ago.
   * @param current gives the newest watermark at that time; undefined while there is none
   */
  advance(current: () => Watermark | undefined): void {
    this.#due = current
    if (this.#timer || this.#isUnderWay) return
    const waitMs = this.#nextAt - performance.now()
    if (waitMs <= 0) this.publish(current())
    else this.#timer = setTimeout(() => this.publish(this.#due?.()), waitMs)
  }

  /** The watermark that was published last is durable. */
  settled(): void {
    this.#isUnderWay = false
    if (this.#due) this.advance(this.#due)
  }

  /** Publishes at once a watermark that is due, and resolves once it is durable. */
  async flush(): Promise<void> {
    if (this.#due) this.publish(this.#due())
    await this.#kafkaProducer.flush()
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#kafkaProducer.close()
  }

  /**
   * Publishes at once, unless the last watermark covers more. After a restart, the slot may be
   * behind what was durable.
   */
  publish(watermark: Watermark | undefined): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#due = undefined
    if (!watermark || (this.last && watermark.lsn <= this.last.lsn)) return
    const value = Buffer.from(JSON.stringify(watermark))
    const record = Buffer.concat([key, value])
    try {
      this.#kafkaProducer.append(0, 0, record, 0, key.length, key.length, record.length)
    } catch {
      // The Kafka producer has failed, and has reported that to onError.
      return
    }
    this.#kafkaProducer.checkpoint(watermark.lsn)
    this.last = watermark
    this.#isUnderWay = true
    this.#nextAt = performance.now() + Math.max(everyMs, value.length / mostBytesPerMs)
  }
}
