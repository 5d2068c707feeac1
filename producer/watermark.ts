// producer/watermark: says in a topic up to where everything is durable, at most every so often.
// May know: contract/generation, kafka.

import { type Generation, parseWatermark, type Watermark, watermarksTopic } from '../contract/generation.ts'
import type { KafkaConnection } from '../kafka/cluster.ts'
import type { Fetcher } from '../kafka/fetch.ts'
import { openSink, type Sink } from '../kafka/sink.ts'
import { readTail, type TailRecord } from '../kafka/tail.ts'
import type { MillraceError } from '../runtime/errors.ts'

const everyMs = 50

export interface WatermarkOptions {
  readonly kafka: KafkaConnection
  readonly fetcher: Fetcher
  readonly pipeline: string
  readonly generation: Generation
  /** The newest state that may be published, asked for when the time has come; undefined while there is none. */
  current(): Watermark | undefined
  onError(error: MillraceError): void
  readonly signal: AbortSignal
}

/** A sink of its own, so that a watermark never waits behind the records that follow those it covers. */
export async function openWatermarks(options: WatermarkOptions): Promise<Watermarks> {
  const { kafka, fetcher, pipeline, generation, signal, onError } = options
  const name = watermarksTopic(pipeline, generation.number)
  const topics = [{ name, partitions: 1 }]
  const sink = await openSink(kafka, { topics, compression: 'none', onDurable: () => {}, onError })
  const parse = (record: TailRecord | undefined) => parseWatermark(record?.value ?? null, generation.tables)
  const isOwn = (record: TailRecord) => parse(record) !== undefined
  const { last } = await readTail(fetcher, { topic: name, partition: 0, isOwn }, signal)
  return new Watermarks(sink, options.current, parse(last))
}

export class Watermarks {
  /** The last one written by this producer or its predecessor. */
  last: Watermark | undefined
  readonly #sink: Sink
  readonly #current: WatermarkOptions['current']
  #timer: NodeJS.Timeout | undefined
  #writtenAt = Number.NEGATIVE_INFINITY

  constructor(sink: Sink, current: WatermarkOptions['current'], last: Watermark | undefined) {
    this.#sink = sink
    this.#current = current
    this.last = last
  }

  /** Something has become durable: publishes at once, or when the last publication is long enough ago. */
  advance(): void {
    if (this.#timer) return
    const waitMs = this.#writtenAt + everyMs - performance.now()
    if (waitMs <= 0) this.publish(this.#current())
    else this.#timer = setTimeout(() => this.publish(this.#current()), waitMs)
  }

  /** Publishes what is still held back, and resolves once it is durable. */
  async flush(): Promise<void> {
    if (this.#timer) this.publish(this.#current())
    await this.#sink.flush()
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#sink.close()
  }

  /** Writes it down at once, unless it says less than the last one: after a restart the slot may stand before what was durable. */
  publish(watermark: Watermark | undefined): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (!watermark || (this.last && watermark.lsn <= this.last.lsn)) return
    const value = Buffer.from(JSON.stringify(watermark))
    try {
      this.#sink.append(0, 0, value, -1, -1, 0, value.length)
    } catch {
      // The sink has failed, and has said so to onError.
      return
    }
    this.last = watermark
    this.#writtenAt = performance.now()
  }
}
