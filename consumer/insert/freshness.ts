// consumer/insert/freshness: the age of changes when they become visible.
// The age begins at the source's commit time, so the clocks of both hosts must agree.

import { readHead } from '../../contract/head.ts'
import { countRecords, type Slice } from '../records/slice.ts'

export interface FreshnessSummary {
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly changes: number
}

/** Records sampled per insert. More samples would slow down the inserts that are measured. */
const samplesPerBatch = 256
const seconds = 60
/**
 * Below 128 ms, each millisecond has its own counter. Above, each doubling has 64 counters, so an
 * age is exact to 1.6 %.
 */
const exactMs = 128
const steps = 64
const mostMs = 2 ** 31 - 1
const places = placeOf(mostMs) + 1

/** The changes that became visible in one second, by age. */
interface Second {
  at: number
  readonly changes: Uint32Array
  max: number
}

/**
 * Commit → visible, in milliseconds, of the changes of the last minute. Rows of the initial load do
 * not count. The memory does not depend on the number of changes.
 */
export class Freshness {
  readonly #seconds: Second[] = Array.from({ length: seconds }, () => ({
    at: Number.NEGATIVE_INFINITY,
    changes: new Uint32Array(places),
    max: 0,
  }))

  /** Call right after the slices have become visible. @param now ms since the Unix epoch */
  observe(slices: readonly Slice[], now = Date.now()): void {
    const step = Math.max(1, Math.floor(countRecords(slices) / samplesPerBatch))
    for (const { records, from, to } of slices) {
      for (let index = from; index < to; index += step) {
        const { commitTimeUs, snapshot } = readHead(
          records.buffer,
          records.valueStarts[index]!,
          records.valueEnds[index]!,
        )
        if (!snapshot) this.#count(now, now - commitTimeUs / 1000, step)
      }
    }
  }

  /** Undefined when no change became visible in the last minute. */
  summary(now = Date.now()): FreshnessSummary | undefined {
    const current = Math.floor(now / 1000)
    const recent = this.#seconds.filter(({ at }) => at > current - seconds)
    const sums = new Float64Array(places)
    for (const { changes } of recent) for (const [place, count] of changes.entries()) sums[place]! += count
    const changes = sums.reduce((sum, count) => sum + count, 0)
    if (changes === 0) return undefined
    const max = Math.round(Math.max(...recent.map(second => second.max)))
    const at = (share: number) => Math.min(max, msAt(sums.findIndex(reaches(share * changes))))
    return { p50: at(0.5), p99: at(0.99), max, changes }
  }

  #count(now: number, age: number, weight: number): void {
    const at = Math.floor(now / 1000)
    const second = this.#seconds[at % seconds]!
    if (second.at !== at) {
      second.at = at
      second.changes.fill(0)
      second.max = 0
    }
    const ms = Math.min(Math.max(age, 0), mostMs)
    second.changes[placeOf(ms)]! += weight
    second.max = Math.max(second.max, ms)
  }
}

/**
 * A predicate that adds up the counts it is called with, and is true when the sum exceeds `number`.
 */
function reaches(number: number): (count: number) => boolean {
  let sum = 0
  return count => {
    sum += count
    return sum > number
  }
}

function placeOf(ms: number): number {
  if (ms < exactMs) return Math.floor(ms)
  const doubling = Math.floor(Math.log2(ms / exactMs))
  return exactMs + doubling * steps + Math.floor(ms / (exactMs / steps) / 2 ** doubling) - steps
}

/** The smallest age of a counter, in ms. */
function msAt(place: number): number {
  if (place < exactMs) return place
  const doubling = Math.floor((place - exactMs) / steps)
  return (((place - exactMs) % steps) + steps) * (exactMs / steps) * 2 ** doubling
}
