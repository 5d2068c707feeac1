// producer/stream/heartbeats: recognises this process' heartbeats in the stream, and reads their
// time.

import { randomBytes } from 'node:crypto'
import type { Log } from '../../runtime/log.ts'

/** A heartbeat's time may differ by this much from the source's clock as it is known otherwise. */
const toleranceUs = 60_000_000

export interface StreamMessage {
  readonly transactional: boolean
  readonly prefix: string
  readonly content: Buffer
}

/**
 * Every role of a database may write messages with any prefix into its WAL. Our prefix ends in a
 * secret of the process, so no one else can write such a message. Heartbeats of an earlier process
 * are ignored, because newer ones follow.
 */
export class Heartbeats {
  readonly prefix: string
  readonly #log: Log
  /**
   * The source's clock when a heartbeat was last written, and our own monotonic clock just after.
   */
  #clock: { readonly us: number; readonly atMs: number } | undefined

  /** @param slot the slot of their stream */
  constructor(slot: string, log: Log) {
    this.prefix = `millrace.heartbeat.${slot}.${randomBytes(16).toString('hex')}`
    this.#log = log
  }

  /**
   * Called after a heartbeat was written. @param clockUs the source's clock at that moment, µs
   * since the Unix epoch
   */
  written(clockUs: number): void {
    this.#clock = { us: clockUs, atMs: performance.now() }
  }

  /**
   * The source's clock when the message was written, µs since the Unix epoch; undefined for any
   * other message than a heartbeat.
   * @param lastUs commit time of the last transaction before it; 0 when there is none
   */
  timeOf({ transactional, prefix, content }: StreamMessage, lastUs: number): number | undefined {
    if (transactional || prefix !== this.prefix) return undefined
    const text = content.toString()
    const us = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (this.#isPlausible(us, lastUs)) return us
    this.#log.warn('a heartbeat with an impossible time is ignored', { time: text.slice(0, 40), lastUs })
    return undefined
  }

  /**
   * The time is plausible between the last commit and now, as far as both are known. It is also
   * plausible near now, when the source's clock was set back.
   */
  #isPlausible(us: number, lastUs: number): boolean {
    const nowUs = this.#clock && this.#clock.us + (performance.now() - this.#clock.atMs) * 1000
    const isNow = nowUs !== undefined && Math.abs(us - nowUs) <= toleranceUs
    const isAfterLast = us >= lastUs - toleranceUs
    const isBeforeNow = us <= (nowUs ?? (lastUs || us)) + toleranceUs
    return isNow || (isAfterLast && isBeforeNow)
  }
}
