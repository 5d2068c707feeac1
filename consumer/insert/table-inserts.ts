// consumer/insert/table-inserts: the queued and running inserts of each table. A slow or failing
// table delays no other.

import { once } from 'node:events'
import { sleep } from '../../runtime/wait.ts'
import { countRecords, type Slice } from '../records/slice.ts'

/**
 * Inserts slices of one table. Resolves when they are in ClickHouse. Calls `onFailure` when an
 * attempt has failed.
 */
export type InsertWork = (slices: readonly Slice[], onFailure: () => void) => Promise<void>

/** While queued and running inserts take more bytes than this, nothing is fetched. */
const mostBytes = 48 * 1024 * 1024
/** Records in the queue of one table. Above this number, no records of the table are fetched. */
const mostQueued = 100_000
/**
 * With fewer records than this in the queue, a table rests after an insert as long as the insert
 * took, up to the limit. Small inserts of a busy table become fewer and larger, which leaves CPU
 * time for folds.
 */
const backlogRecords = 5_000
const longestRestMs = 250
/** How long the loop waits at most for the tables whose inserts are behind. */
const longestWaitMs = 100

interface Queue {
  slices: Slice[]
  running: readonly Slice[]
  ended: Promise<void>
  /** The running insert has failed and is tried again. */
  isFailing: boolean
}

export class TableInserts {
  readonly #work: InsertWork
  readonly #signal: AbortSignal
  readonly #queues = new Map<string, Queue>()
  #failure: { readonly error: unknown } | undefined
  readonly #progress = new EventTarget()

  /** @param signal ends the rests */
  constructor(work: InsertWork, signal: AbortSignal) {
    this.#work = work
    this.#signal = signal
  }

  /**
   * Queues slices. The inserts of a table run one after the other. The slices that arrive during an
   * insert are the next one.
   */
  add(slices: readonly Slice[]): void {
    for (const slice of slices) {
      const queue = this.#queues.get(slice.topic)
      if (queue !== undefined) queue.slices.push(slice)
      else this.#start(slice.topic, [slice])
    }
  }

  get isIdle(): boolean {
    return this.#queues.size === 0
  }

  /** Whether no more records of the table are to be fetched. */
  isFull(topic: string): boolean {
    const queue = this.#queues.get(topic)
    return queue !== undefined && (queue.isFailing || countRecords(queue.slices) > mostQueued)
  }

  /** Waits until more records may be fetched. Tables that fail do not count. */
  async room(): Promise<void> {
    while (this.#bytes() > mostBytes && this.#failure === undefined && !this.#signal.aborted)
      await once(this.#progress, 'insert', { signal: this.#signal }).catch(() => {})
  }

  /**
   * Waits until no table has records in its queue, so that a busy consumer fetches as often as it
   * inserts. A slow table holds up the others only for a moment.
   */
  async settle(): Promise<void> {
    const limit = AbortSignal.any([this.#signal, AbortSignal.timeout(longestWaitMs)])
    const isBehind = () => [...this.#queues.values()].some(({ slices, isFailing }) => slices.length > 0 && !isFailing)
    while (isBehind() && !limit.aborted) await once(this.#progress, 'insert', { signal: limit }).catch(() => {})
  }

  /** Waits for all running inserts. Queued ones no longer begin once the signal is aborted. */
  async end(): Promise<void> {
    await Promise.all([...this.#queues.values()].map(({ ended }) => ended))
  }

  /** @throws the error of the first insert that failed for good */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #start(topic: string, slices: Slice[]): void {
    const queue: Queue = { slices, running: [], ended: Promise.resolve(), isFailing: false }
    this.#queues.set(topic, queue)
    // The other slices of the same fetch are queued before the first insert begins.
    queue.ended = Promise.resolve().then(() => this.#run(topic, queue))
  }

  async #run(topic: string, queue: Queue): Promise<void> {
    try {
      while (queue.slices.length > 0 && this.#failure === undefined && !this.#signal.aborted) {
        const started = performance.now()
        queue.running = takeInsert(queue)
        this.#progressed()
        await this.#work(queue.running, () => {
          queue.isFailing = true
          this.#progressed()
        })
        queue.isFailing = false
        queue.running = []
        this.#progressed()
        if (countRecords(queue.slices) > backlogRecords) continue
        await sleep(Math.min(performance.now() - started, longestRestMs), this.#signal).catch(() => {})
      }
    } catch (error) {
      this.#failure ??= { error }
    } finally {
      this.#queues.delete(topic)
      this.#progressed()
    }
  }

  #progressed(): void {
    this.#progress.dispatchEvent(new Event('insert'))
  }

  #bytes(): number {
    const queues = [...this.#queues.values()].filter(({ isFailing }) => !isFailing)
    const slices = queues.flatMap(({ slices, running }) => [...slices, ...running])
    const buffers = new Set(slices.map(({ records }) => records.buffer.buffer))
    return [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)
  }
}

/** Removes the next insert from the queue: a TRUNCATE alone, or everything before the next one. */
function takeInsert(queue: Queue): Slice[] {
  const at = queue.slices.findIndex(({ truncate }) => truncate)
  return queue.slices.splice(0, at === -1 ? queue.slices.length : Math.max(at, 1))
}
