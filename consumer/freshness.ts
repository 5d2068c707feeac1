// consumer/freshness: how old changes are when they become visible.
// May know: contract/head, consumer/slice. Measured from the source's commit time, so both clocks must agree.

import { readHead } from '../contract/head.ts'
import { countRecords, type Slice } from './slice.ts'

export interface FreshnessSummary {
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly changes: number
}

/** Records looked at per batch; more would cost time on the path that is being measured. */
const samplesPerBatch = 256

/** Commit → visible, in milliseconds, of changes folded in the last `windowMs`. Snapshot rows do not count. */
export class Freshness {
  readonly #windowMs: number
  #samples: { at: number; ms: number; weight: number }[] = []

  constructor(windowMs = 60_000) {
    this.#windowMs = windowMs
  }

  /** Call right after the slices have become visible. @param now ms since the Unix epoch */
  observe(slices: readonly Slice[], now = Date.now()): void {
    const total = countRecords(slices)
    const step = Math.max(1, Math.floor(total / samplesPerBatch))
    for (const { records, from, to } of slices) {
      for (let index = from; index < to; index += step) {
        const { commitTimeUs, snapshot } = readHead(
          records.buffer,
          records.valueStarts[index]!,
          records.valueEnds[index]!,
        )
        if (!snapshot) this.#samples.push({ at: now, ms: now - commitTimeUs / 1000, weight: step })
      }
    }
    const oldest = now - this.#windowMs
    if (this.#samples[0] !== undefined && this.#samples[0].at < oldest)
      this.#samples = this.#samples.filter(({ at }) => at >= oldest)
  }

  /** Undefined while nothing was folded in the window. */
  summary(now = Date.now()): FreshnessSummary | undefined {
    const recent = this.#samples.filter(({ at }) => at >= now - this.#windowMs).sort((a, b) => a.ms - b.ms)
    if (recent.length === 0) return undefined
    const at = (share: number) => Math.round(recent[Math.min(recent.length - 1, Math.floor(recent.length * share))]!.ms)
    return { p50: at(0.5), p99: at(0.99), max: at(1), changes: recent.reduce((sum, { weight }) => sum + weight, 0) }
  }
}
