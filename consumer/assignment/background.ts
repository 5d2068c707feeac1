// consumer/assignment/background: work beside the inserts: commits, folds, watermarks, and checks
// for a restart of ClickHouse.

import { retry } from '../../runtime/retry.ts'
import { guard } from '../insert/inserter.ts'
import { partitionKey } from '../records/slice.ts'
import { sameTable } from '../warehouse/epoch.ts'
import { everything, type ScopePoint, tablesScope, writeWatermark } from '../warehouse/watermark.ts'
import type { AssignmentState, ConsumerContext } from './assignment.ts'
import { commitProgress } from './commit.ts'
import { confirmRecords } from './confirm.ts'

/** Pause between two commits. Other members wait for them before they write a watermark. */
const commitEveryMs = 200
const checkEveryMs = 5_000
/** Linux writes changed pages of files to the disk within about 35 seconds. */
const onDiskMs = 60_000
/**
 * Kafka deletes offsets that are not committed again, by default after seven days without a member
 * in the group.
 */
const renewEveryMs = 3_600_000

export class BackgroundWork {
  readonly #context: ConsumerContext
  readonly #assigned: AssignmentState
  readonly #signal: AbortSignal
  #checkedAt = performance.now()
  #floorsAt = performance.now()
  #committedAt = performance.now()
  #renewedAt = performance.now()
  #interruptions: number
  readonly #running = new Map<string, Promise<void>>()
  #failure: { readonly error: unknown } | undefined

  constructor(context: ConsumerContext, assigned: AssignmentState, signal: AbortSignal) {
    this.#context = context
    this.#assigned = assigned
    this.#signal = signal
    this.#interruptions = context.fetcher.interruptions
  }

  /**
   * Called after each fetch and each insert. Does not wait for the work.
   * @throws the error of earlier work
   */
  start(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    this.#inBackground('watermark', () => this.#advanceWatermark())
    if (performance.now() - this.#committedAt > commitEveryMs) {
      this.#committedAt = performance.now()
      this.#inBackground('commit', () => commitProgress(this.#context, this.#assigned, this.#signal))
    }
    if (performance.now() - this.#checkedAt < checkEveryMs) return
    this.#checkedAt = performance.now()
    this.#inBackground('server', () => this.#checkServer())
  }

  /**
   * Called after each fetch. After an interrupted one, the brokers may have lost records.
   * @throws {MillraceError} OFFSETS_MISSING
   */
  async confirm(): Promise<void> {
    const { fetcher, reader } = this.#context
    if (fetcher.interruptions === this.#interruptions) return
    this.#interruptions = fetcher.interruptions
    const known = [...this.#assigned.owned.values()].flatMap(({ topic, partition, lastRow }) =>
      lastRow === undefined ? [] : [{ topic, partition, last: lastRow }],
    )
    await confirmRecords(reader, known, this.#signal)
  }

  /** An aggregate can be moved on at once, and a watermark may be due. */
  #moved(): void {
    if (this.#signal.aborted || this.#failure !== undefined) return
    this.#inBackground('watermark', () => this.#advanceWatermark())
  }

  async end(): Promise<void> {
    await Promise.all(this.#running.values())
    await this.#context.aggregates.end()
  }

  #inBackground(name: string, work: () => Promise<void>): void {
    if (this.#running.has(name)) return
    const running = work()
      .catch(error => {
        this.#failure ??= { error }
      })
      .finally(() => this.#running.delete(name))
    this.#running.set(name, running)
  }

  /**
   * Rows that are being inserted are not visible yet. The progress of other members is known from
   * their commits. One member moves the aggregates and writes watermarks.
   */
  async #advanceWatermark(): Promise<void> {
    const { groupProgress, watermarks, writer, isLeader, publish, aggregates } = this.#context
    const { owned } = this.#assigned
    const { log, failures } = writer
    const signal = this.#signal
    const theirs = await groupProgress.offsets(this.#assigned)
    const covered = watermarks.cover((topic, partition) => {
      const key = partitionKey(topic, partition)
      return owned.get(key)?.progress.offset ?? theirs.get(key) ?? -1
    })
    if (covered === undefined) return
    if (!isLeader()) return watermarks.wrote(covered)
    const point = aggregates.advance(covered, signal, () => this.#moved())
    if (point === undefined) return
    const { lsn, commitTimeUs } = covered
    const points: ScopePoint[] = [[everything, point], [tablesScope, { lsn, commitTimeUs }], ...aggregates.points]
    if (!watermarks.isDue(points)) return
    const write = async () => {
      await publish()
      await writeWatermark(writer.inserter.clickhouse, points, guard(writer.inserter))
    }
    await retry(write, { what: 'write a watermark', signal, log, failures })
    watermarks.wrote(point, points)
  }

  /** @throws {MillraceError} FENCED after a restart of ClickHouse */
  async #checkServer(): Promise<void> {
    const { inserter, log, failures } = this.#context.writer
    const check = async () => {
      await inserter.clickhouse.rows(`SELECT ${guard(inserter)}, ${sameTable(this.#assigned.epoch)}`)
    }
    await retry(check, { what: 'look at ClickHouse', signal: this.#signal, log, failures })
    const now = performance.now()
    if (now - this.#floorsAt > onDiskMs) this.#raiseFloors(now)
    if (now - this.#renewedAt > renewEveryMs) this.#renewCommits(now)
  }

  #raiseFloors(now: number): void {
    this.#floorsAt = now
    for (const each of this.#assigned.owned.values()) {
      each.progress = { ...each.progress, floor: each.nextFloor }
      each.nextFloor = each.progress.offset
    }
  }

  #renewCommits(now: number): void {
    this.#renewedAt = now
    for (const each of this.#assigned.owned.values()) each.isUncommitted = true
  }
}
