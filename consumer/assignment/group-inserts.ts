// consumer/assignment/group-inserts: batches that are being inserted, each group's for itself, so that one that is slow or fails holds up no other.

import { endsWithin } from '../../runtime/wait.ts'
import type { Batch } from '../records/batch.ts'

/** Inserts a batch; calls `fallBehind` when that will take a while. */
export type Work = (batch: Batch, fallBehind: () => void) => Promise<void>

interface GroupInsert {
  readonly ended: Promise<void>
  /** It has ended, or is late. */
  readonly settled: Promise<void>
  /** What its records lie in. */
  readonly buffers: ReadonlySet<ArrayBufferLike>
  isLate: boolean
}

/** Bytes of records that are being inserted, above which no more are fetched. */
const mostBytes = 48 * 1024 * 1024

export class GroupInserts {
  readonly #work: Work
  readonly #inserts = new Map<string, GroupInsert>()
  #failure: { readonly error: unknown } | undefined

  constructor(work: Work) {
    this.#work = work
  }

  /** Of groups that are not busy. The batches of one group are worked on one after the other. */
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

  /** Whether the group is busy and was not waited for. */
  isLate(group: string): boolean {
    return this.#inserts.get(group)?.isLate ?? false
  }

  /** Waits for the batches started last. Those that take longer are late: nothing more of their groups is fetched until they end. */
  async settle(patienceMs: number): Promise<void> {
    const inserts = [...this.#inserts.values()].filter(({ isLate }) => !isLate)
    if (inserts.length === 0) return
    await endsWithin(Promise.all(inserts.map(({ settled }) => settled)), patienceMs)
    for (const insert of inserts) insert.isLate = true
  }

  /** Waits until there is room for more records. */
  async room(): Promise<void> {
    while (this.#inserts.size > 0 && this.#bytes() > mostBytes)
      await Promise.race([...this.#inserts.values()].map(({ ended }) => ended))
  }

  /** Waits for all of them. */
  async end(): Promise<void> {
    await Promise.all([...this.#inserts.values()].map(({ ended }) => ended))
  }

  /** @throws what the first batch that failed for good has failed with */
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
