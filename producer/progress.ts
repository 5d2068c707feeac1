// producer/progress: the producer's status.
// `millrace status` and the demo read this shape.

import { formatLsn } from '../contract/position.ts'
import { tableName } from '../contract/table.ts'
import { MillraceError } from '../runtime/errors.ts'
import { Pulse } from '../runtime/health.ts'
import type { DeadLetters } from './write/dead-letters.ts'
import type { TableWriter } from './write/table-writer.ts'

export type Phase = 'starting' | 'loading' | 'streaming' | 'waiting'

export interface ProducerStatus {
  /** `waiting`: the last attempt failed, and the next one is due. `lastError` has the reason. */
  readonly phase: Phase
  /** 0 until a generation is chosen. */
  readonly generation: number
  readonly slot: string
  /** Everything before it was received from Postgres. */
  readonly received: string
  /** Everything before it is durable in Kafka and acknowledged to Postgres. */
  readonly durable: string
  /** Commit time of the last transaction that is durable, µs since the Unix epoch. */
  readonly commitTimeUs: number
  /** Bytes read and not yet durable. */
  readonly pendingBytes: number
  /** Records written since the process started, and per second in the last few seconds. */
  readonly records: number
  readonly recordsPerSecond: number
  readonly deadLetters: number
  readonly tables: Readonly<Record<string, { readonly records: number; readonly duplicates: number }>>
  /** Unclassified columns of personal tables, by table. They are withheld. */
  readonly heldBack: Readonly<Record<string, readonly string[]>>
  /**
   * Tables that the configuration matches and that are not captured, with the reason as a sentence.
   */
  readonly notCaptured: Readonly<Record<string, string>>
  /** Number of ignored changes by table. These tables are in the publication and not captured. */
  readonly foreignChanges: Readonly<Record<string, number>>
  /**
   * Changes of captured tables that will stop the producer unless an operator acts, as sentences by
   * table.
   */
  readonly warnings: Readonly<Record<string, readonly string[]>>
  /** The other transaction that the current step waits for, as a sentence. */
  readonly waitingFor: string | undefined
  readonly lastError: { readonly code: string; readonly what: string; readonly at: string } | undefined
}

/** The parts that are open at the moment. */
export interface OpenWork {
  readonly writers: readonly TableWriter[]
  readonly deadLetters: DeadLetters
  received(): number
  durable(): number
  commitTimeUs(): number
  pendingBytes(): number
}

interface Counts {
  records: number
  duplicates: number
}

const rateWindowMs = 2_000

export class ProducerProgress {
  readonly pulse = new Pulse()
  phase: Phase = 'starting'
  generation = 0
  slot = ''
  waitingFor: string | undefined
  notCaptured: ProducerStatus['notCaptured'] = {}
  #work: OpenWork | undefined
  /** When the last watermark of the current stream became durable. */
  #flowedAt: number | undefined
  #lastError: ProducerStatus['lastError']
  /** Counts of earlier attempts, by table. */
  readonly #earlier = new Map<string, Counts>()
  #earlierLetters = 0
  readonly #withheld = new Map<string, readonly string[]>()
  readonly #foreign = new Map<string, number>()
  readonly #warnings = new Map<string, readonly string[]>()
  #sample = { at: performance.now(), records: 0, perSecond: 0 }

  begin(phase: Phase, work: OpenWork): void {
    this.end()
    this.phase = phase
    this.#work = work
    this.pulse.beat()
  }

  /** Keeps the counts of the parts that were open. */
  end(): void {
    for (const writer of this.#work?.writers ?? []) {
      const counts = this.#earlier.get(tableName(writer.captured.table)) ?? { records: 0, duplicates: 0 }
      counts.records += writer.records
      counts.duplicates += writer.duplicates
      this.#earlier.set(tableName(writer.captured.table), counts)
    }
    this.#earlierLetters += this.#work?.deadLetters.records ?? 0
    this.#work = undefined
    this.#flowedAt = undefined
  }

  /** @returns the columns that were not reported before */
  withheld(table: string, columns: readonly string[]): string[] {
    const known = this.#withheld.get(table) ?? []
    if (columns.length > 0) this.#withheld.set(table, [...new Set([...known, ...columns])])
    return columns.filter(column => !known.includes(column))
  }

  /** Counts an ignored change. @returns whether it is the first one of the table */
  uncaptured(table: string): boolean {
    const count = this.#foreign.get(table) ?? 0
    this.#foreign.set(table, count + 1)
    return count === 0
  }

  /** Replaces the table's warnings. @returns the warnings that were not reported before */
  warned(table: string, warnings: readonly string[]): string[] {
    const known = this.#warnings.get(table) ?? []
    if (warnings.length > 0) this.#warnings.set(table, warnings)
    else this.#warnings.delete(table)
    return warnings.filter(warning => !known.includes(warning))
  }

  failed(error: unknown): void {
    const code = error instanceof MillraceError ? error.code : 'INTERNAL'
    const what = error instanceof Error ? error.message : String(error)
    this.#lastError = { code, what, at: new Date().toISOString() }
    this.phase = 'waiting'
    this.pulse.beat()
  }

  /** Changes that were read have become durable, and a watermark covers them. */
  flowed(): void {
    this.#flowedAt = performance.now()
  }

  /** Why changes do not flow at the moment; undefined when they do. */
  stopsFlow(limitMs: number): string | undefined {
    if (this.waitingFor !== undefined) return this.waitingFor
    if (this.phase === 'waiting') return `${this.#lastError?.code}: ${this.#lastError?.what}`
    if (this.phase !== 'streaming') return `the producer is ${this.phase}`
    if (this.#flowedAt === undefined) return 'nothing has become durable in Kafka since the stream began'
    const idleMs = performance.now() - this.#flowedAt
    return idleMs <= limitMs ? undefined : `nothing has become durable in Kafka for ${Math.round(idleMs / 1000)} s`
  }

  status(): ProducerStatus {
    const work = this.#work
    const tables = this.#counts()
    const records = Object.values(tables).reduce((sum, counts) => sum + counts.records, 0)
    return {
      phase: this.phase,
      generation: this.generation,
      slot: this.slot,
      received: formatLsn(work?.received() ?? 0),
      durable: formatLsn(work?.durable() ?? 0),
      commitTimeUs: work?.commitTimeUs() ?? 0,
      pendingBytes: work?.pendingBytes() ?? 0,
      records,
      recordsPerSecond: this.#rate(records),
      deadLetters: this.#earlierLetters + (work?.deadLetters.records ?? 0),
      tables,
      heldBack: Object.fromEntries(this.#withheld),
      notCaptured: this.notCaptured,
      foreignChanges: Object.fromEntries(this.#foreign),
      warnings: Object.fromEntries(this.#warnings),
      waitingFor: this.waitingFor,
      lastError: this.#lastError,
    }
  }

  #counts(): Record<string, Counts> {
    const counts = new Map([...this.#earlier].map(([name, count]) => [name, { ...count }]))
    for (const writer of this.#work?.writers ?? []) {
      const name = tableName(writer.captured.table)
      const { records, duplicates } = counts.get(name) ?? { records: 0, duplicates: 0 }
      counts.set(name, { records: records + writer.records, duplicates: duplicates + writer.duplicates })
    }
    return Object.fromEntries(counts)
  }

  /** Records per second between this call and an earlier one, at least 2 s ago. */
  #rate(records: number): number {
    const now = performance.now()
    const elapsed = now - this.#sample.at
    if (elapsed < rateWindowMs) return this.#sample.perSecond
    const perSecond = Math.round(((records - this.#sample.records) * 1000) / elapsed)
    this.#sample = { at: now, records, perSecond }
    return perSecond
  }
}
