// consumer/fold/aggregates: moves the aggregates of the model to the newest watermark whose changes
// are in the tables.

import type { Clickhouse } from '../../clickhouse/client.ts'
import type { Generation, Watermark } from '../../contract/generation.ts'
import { tableName } from '../../contract/table.ts'
import type { Aggregate } from '../../modeling/aggregate.ts'
import { build } from '../../modeling/build.ts'
import { fold } from '../../modeling/fold.ts'
import { type Position, readMarkers, recordsBetween } from '../../modeling/position.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { Reminder } from '../../runtime/reminder.ts'
import type { Failures } from '../../runtime/retry.ts'
import { backoffMs } from '../../runtime/wait.ts'
import type { ScopePoint, SourcePoint } from '../warehouse/watermark.ts'

/**
 * Rest of an aggregate that is not `fresh` after a fold, at least. It rests four times as long as
 * the fold took, so that slow folds do not hold up the fresh ones.
 */
const restMs = 500
/** While an attempt has not lasted so long, no other one begins. */
const longMs = 2_000
/** Above this number, a new computation beside the old table needs less memory and time. */
const mostRecords = 1_000_000
const backoff = { firstMs: 200, longestMs: 10_000 }

export interface AggregatesOptions {
  readonly clickhouse: Clickhouse
  readonly generation: Generation
  readonly aggregates: readonly Aggregate[]
  /** SQL condition of every statement that writes: see `guardOf`. */
  readonly guard: () => string
  readonly log: Log
  readonly failures: Failures
}

interface AggregateState {
  readonly aggregate: Aggregate
  readonly key: symbol
  readonly reminder: Reminder
  /** The markers, as this process knows them; undefined before the aggregate is built. */
  markers: Position | undefined
  /** The aggregate is right up to this point. Beyond its markers, its tables had no changes. */
  at: SourcePoint | undefined
  /** Resolves when the aggregate has moved or failed; undefined when nothing runs. */
  running: Promise<void> | undefined
  /** When the last attempt began, by `performance.now`. */
  startedAt: number
  /** No attempt before this time, by `performance.now`. */
  notBefore: number
  failures: number
  /** The next attempt computes the aggregate anew, because a fold did not fit into memory. */
  isTooLarge: boolean
}

export class Aggregates {
  readonly #options: AggregatesOptions
  readonly #all: readonly AggregateState[]
  #fenced: unknown

  constructor(options: AggregatesOptions) {
    this.#options = options
    this.#all = options.aggregates.map(aggregate => ({
      ...{ aggregate, key: Symbol(aggregate.name), reminder: new Reminder() },
      ...{
        markers: undefined,
        at: undefined,
        running: undefined,
        startedAt: 0,
        notBefore: 0,
        failures: 0,
        isTooLarge: false,
      },
    }))
  }

  /**
   * Begins to move an aggregate that is due to the watermark, and does not wait for it. All
   * changes that the watermark covers must be in the tables. An aggregate that fails is tried again
   * later.
   * @param moved called whenever an aggregate has moved or failed
   * @returns up to where all aggregates are right; undefined while one is not built
   * @throws {MillraceError} FENCED when another member may have taken over; the signal's reason
   */
  advance(watermark: Watermark, signal: AbortSignal, moved = () => {}): SourcePoint | undefined {
    if (this.#fenced !== undefined) throw this.#fenced
    const cut = this.#cutOf(watermark)
    const isDue = ({ at, notBefore, running }: AggregateState) =>
      running === undefined && (at?.lsn ?? -1) < cut.lsn && performance.now() >= notBefore
    const state = this.#next(isDue)
    if (state !== undefined) {
      state.startedAt = performance.now()
      state.running = this.#move(state, cut, signal).finally(() => {
        state.running = undefined
        moved()
      })
    }
    const places = this.#all.flatMap(({ at }) => at ?? [])
    if (places.length < this.#all.length) return undefined
    return places.reduce<SourcePoint>((least, at) => (at.lsn < least.lsn ? at : least), watermark)
  }

  /**
   * The due aggregate that has waited longest, if none is being folded: folds that run together
   * only slow down each other and the inserts. A long computation does not hold up the others.
   */
  #next(isDue: (state: AggregateState) => boolean): AggregateState | undefined {
    const isShort = ({ startedAt }: AggregateState) => performance.now() - startedAt < longMs
    if (this.#all.some(state => state.running !== undefined && isShort(state))) return undefined
    return this.#all.filter(isDue).sort((a, b) => a.startedAt - b.startedAt)[0]
  }

  /** Up to which point each aggregate is right. */
  get points(): ScopePoint[] {
    return this.#all.flatMap(({ aggregate, at }) =>
      at === undefined ? [] : [[aggregate.name, { lsn: at.lsn, commitTimeUs: at.commitTimeUs }] as const],
    )
  }

  /** Waits for all running statements, then forgets where the aggregates stand. */
  async end(): Promise<void> {
    await Promise.all(this.#all.map(({ running }) => running))
    this.#fenced = undefined
    for (const state of this.#all) {
      state.markers = undefined
      state.at = undefined
      state.notBefore = 0
      this.#options.failures.ended(state.key)
    }
  }

  async #move(state: AggregateState, cut: Position, signal: AbortSignal): Promise<void> {
    const { aggregate, key, startedAt } = state
    try {
      state.markers = await this.#foldOrBuild(state, cut, signal)
      state.at = cut.lsn > state.markers.lsn ? cut : state.markers
      const ended = performance.now()
      this.#options.log.debug('folded', { aggregate: aggregate.name, ms: Math.round(ended - startedAt) })
      state.failures = 0
      state.isTooLarge = false
      this.#options.failures.ended(key)
      if (!aggregate.fresh) state.notBefore = ended + Math.max(4 * (ended - startedAt), restMs)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof MillraceError) || error.code === 'FENCED') this.#fenced ??= error
      else this.#failed(state, error)
    }
  }

  async #foldOrBuild(state: AggregateState, cut: Position, signal: AbortSignal): Promise<Position> {
    const { clickhouse, guard, log } = this.#options
    const { aggregate, isTooLarge } = state
    const options = { cut, guard: guard(), signal }
    const known = state.failures > 0 ? undefined : state.markers
    const at = known ?? (await readMarkers(clickhouse, aggregate))
    const records = at === undefined ? 0 : recordsBetween(aggregate, at, cut)
    if (at !== undefined && records === 0) return at
    if (at !== undefined && records <= mostRecords && !isTooLarge) {
      const moved = await fold(clickhouse, aggregate, { ...options, from: at })
      if (moved !== undefined) return moved
    }
    const started = performance.now()
    const built = await build(clickhouse, aggregate, { ...options, beside: at !== undefined })
    log.info('aggregate computed from the tables', {
      aggregate: aggregate.name,
      ms: Math.round(performance.now() - started),
    })
    return built
  }

  #failed(state: AggregateState, error: MillraceError): void {
    const { log, failures } = this.#options
    const { aggregate, key, reminder } = state
    state.failures += 1
    state.notBefore = performance.now() + backoffMs(state.failures, backoff)
    state.isTooLarge = /MEMORY/.test(error.message)
    const failure = error.retriable ? error : foldFailed(aggregate, error)
    failures.failed(key, failure)
    if (state.failures === 1 || reminder.isDue(failure.code))
      log.warn('an aggregate could not be moved on', {
        aggregate: aggregate.name,
        code: failure.code,
        error: failure.message,
        next: failure.next,
      })
  }

  #cutOf({ lsn, commitTimeUs, offsets }: Watermark): Position {
    const { tables } = this.#options.generation
    const byTable = tables.map(
      ({ schema, table: name }, index) => [tableName({ schema, name }), offsets[index]!] as const,
    )
    return { lsn, commitTimeUs, offsets: new Map(byTable) }
  }
}

function foldFailed({ name }: Aggregate, error: MillraceError): MillraceError {
  return new MillraceError('FOLD_FAILED', {
    what: `the aggregate ${name} cannot take changes that its tables contain: ${error.message}`,
    ...(error.where === undefined ? {} : { where: error.where }),
    next: `correct the view ${name}.contributions in the model, stop the consumers, run millrace reset star, and start them again; tables and other aggregates continue meanwhile, and the watermark waits`,
    cause: error,
  })
}
