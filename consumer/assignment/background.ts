// consumer/assignment/background: work beside the inserts: writes watermarks, and checks for a
// restart of ClickHouse.

import { retry } from '../../runtime/retry.ts'
import { partitionKey } from '../records/slice.ts'
import { restarted, serverRunId } from '../warehouse/server-run.ts'
import { readUncertainty } from '../warehouse/uncertain.ts'
import type { AssignmentState, ConsumerContext } from './assignment.ts'
import { confirmRecords } from './confirm.ts'
import type { GroupInserts } from './group-inserts.ts'

const checkEveryMs = 5_000
/** Linux writes changed pages of files to the disk within about 35 seconds. */
const onDiskMs = 60_000
/**
 * Kafka deletes offsets that are not committed again, by default after seven days without a member
 * in the group.
 */
const commitEveryMs = 3_600_000

export class BackgroundWork {
  readonly #context: ConsumerContext
  readonly #assigned: AssignmentState
  readonly #inserts: GroupInserts
  readonly #signal: AbortSignal
  #checkedAt = performance.now()
  #floorsAt = performance.now()
  #committedAt = performance.now()
  #interruptions: number
  readonly #running = new Map<string, Promise<void>>()
  #failure: { readonly error: unknown } | undefined

  constructor(
    context: ConsumerContext,
    assigned: AssignmentState,
    { inserts, signal }: { inserts: GroupInserts; signal: AbortSignal },
  ) {
    this.#context = context
    this.#assigned = assigned
    this.#inserts = inserts
    this.#signal = signal
    this.#interruptions = context.fetcher.interruptions
  }

  /**
   * Called after each turn of the loop. Does not wait for the work.
   * @throws the error of earlier work
   */
  start(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    this.#inBackground('watermark', () => this.#advanceWatermark())
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

  async end(): Promise<void> {
    await Promise.all(this.#running.values())
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
   * their commits.
   */
  async #advanceWatermark(): Promise<void> {
    const { groupProgress, watermarks, writer } = this.#context
    const { owned } = this.#assigned
    const ours = new Map([...owned].map(([key, each]) => [key, each.progress.offset]))
    const theirs = await groupProgress.offsets(this.#assigned)
    const visible = (topic: string, partition: number) => {
      const key = partitionKey(topic, partition)
      return ours.get(key) ?? theirs.get(key) ?? -1
    }
    const { log, failures } = writer
    await retry(() => watermarks.advance(visible), { what: 'write a watermark', signal: this.#signal, log, failures })
  }

  /** @throws {MillraceError} FENCED after a restart of ClickHouse */
  async #checkServer(): Promise<void> {
    const { writer } = this.#context
    const { inserter, log, failures } = writer
    const { clickhouse } = inserter
    const check = async () => {
      if ((await serverRunId(clickhouse)) !== this.#assigned.server) throw restarted()
      writer.uncertainty = await readUncertainty(clickhouse)
    }
    await retry(check, { what: 'look at ClickHouse', signal: this.#signal, log, failures })
    const now = performance.now()
    if (now - this.#floorsAt > onDiskMs) this.#raiseFloors(now)
    if (now - this.#committedAt > commitEveryMs) this.#renewCommits(now)
  }

  #raiseFloors(now: number): void {
    this.#floorsAt = now
    for (const each of this.#assigned.owned.values()) {
      each.progress = { ...each.progress, floor: each.nextFloor }
      each.nextFloor = each.progress.offset
    }
  }

  /** Not for partitions with a running insert: the commit would remove the intent. */
  #renewCommits(now: number): void {
    this.#committedAt = now
    for (const each of this.#assigned.owned.values()) {
      if (!this.#inserts.isBusy(this.#context.writer.tables.get(each.topic)!.group)) each.isUncommitted = true
    }
  }
}
