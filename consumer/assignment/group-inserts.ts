// consumer/assignment/group-inserts: the running inserts of each group of tables. A slow or failing
// group delays no other.

import { endsWithin } from '../../runtime/wait.ts'
import type { Batch } from '../records/batch.ts'

/** Inserts a batch. Calls `fallBehind` when the insert has failed and is tried again. */
export type Work = (batch: Batch, fallBehind: () => void) => Promise<void>

interface GroupInsert {
  readonly ended: Promise<void>
  /** Resolves when the batches have ended or are late. */
  readonly settled: Promise<void>
  /** Memory of the records. */
  readonly buffers: ReadonlySet<ArrayBufferLike>
  isLate: boolean
}

/**
 * While the records that are being inserted take more bytes than this, the loop fetches no more.
 */
const mostBytes = 48 * 1024 * 1024

export class GroupInserts {
  readonly #work: Work
  readonly #inserts = new Map<string, GroupInsert>()
  #failure: { readonly error: unknown } | undefined

  constructor(work: Work) {
    this.#work = work
  }

  /**
   * Starts batches of groups that are not busy. The batches of one group are inserted one after the
   * other.
   */
  start(batches: readonly Batch[]): void {
    const groups = new Map<string, Batch[]>()
    for (const batch of batches) groups.set(batch.group, [...(groups.get(batch.group) ?? []), batch])
    for (const [group, own] of groups) this.#start(group, own)
  }

  /** Whether any batches are being inserted. */
  get isAnyBusy(): boolean {
    return this.#inserts.size > 0
  }

  /** Whether batches of the group are being inserted. */
  isBusy(group: string): boolean {
    return this.#inserts.has(group)
  }

  /** Whether the group is busy and the loop no longer waits for it. */
  isLate(group: string): boolean {
    return this.#inserts.get(group)?.isLate ?? false
  }

  /**
   * Waits up to `limitMs` for the batches that were started last. After that time their groups are
   * late: the loop fetches no records of a late group.
   */
  async settle(limitMs: number): Promise<void> {
    const inserts = [...this.#inserts.values()].filter(({ isLate }) => !isLate)
    if (inserts.length === 0) return
    await endsWithin(Promise.all(inserts.map(({ settled }) => settled)), limitMs)
    for (const insert of inserts) insert.isLate = true
  }

  /** Waits until more records may be fetched. */
  async room(): Promise<void> {
    while (this.#inserts.size > 0 && this.#bytes() > mostBytes)
      await Promise.race([...this.#inserts.values()].map(({ ended }) => ended))
  }

  /** Waits for all inserts. */
  async end(): Promise<void> {
    await Promise.all([...this.#inserts.values()].map(({ ended }) => ended))
  }

  /** @throws the error of the first batch that failed for good */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #start(group: string, batches: readonly Batch[]): void {
    let settle = () => {}
    const settled = new Promise<void>(resolve => {
      settle = resolve
    })
    const fallBehind = () => {
      insert.isLate = true
      settle()
    }
    const run = async () => {
      for (const batch of batches) await this.#work(batch, fallBehind)
    }
    const ended = run()
      .catch(error => {
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#inserts.delete(group)
        settle()
      })
    const records = batches.flatMap(({ slices }) => slices.map(slice => slice.records))
    const insert: GroupInsert = {
      ended,
      settled,
      buffers: new Set(records.map(({ buffer }) => buffer.buffer)),
      isLate: false,
    }
    this.#inserts.set(group, insert)
  }

  #bytes(): number {
    const buffers = new Set([...this.#inserts.values()].flatMap(insert => [...insert.buffers]))
    return [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)
  }
}
