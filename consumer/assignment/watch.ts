// consumer/assignment/watch: what is looked at beside the folding: the watermark, the run of ClickHouse, and whether the topics are still the same.

import { retry } from '../../runtime/retry.ts'
import { partitionKey } from '../records/partition-key.ts'
import { restarted, serverLifetime } from '../warehouse/server-run.ts'
import { readUncertainty } from '../warehouse/uncertain.ts'
import type { AssignmentState, ConsumerContext } from './assignment.ts'
import { confirmRecords } from './confirm.ts'
import type { GroupInserts } from './group-inserts.ts'

const lookEveryMs = 5_000
/** Linux writes what was written to files to its disk within about 35 seconds. */
const onDiskMs = 60_000
/** Kafka forgets offsets that nobody commits, by default after seven days without a member in the group. */
const commitEveryMs = 3_600_000

export class Watch {
  readonly #context: ConsumerContext
  readonly #assigned: AssignmentState
  readonly #inserts: GroupInserts
  readonly #signal: AbortSignal
  #lookedAt = performance.now()
  #markedAt = performance.now()
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

  /** After each turn. Nothing of it is waited for. @throws what an earlier look has thrown */
  turn(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    this.#inBackground('watermark', () => this.#advanceWatermark())
    if (performance.now() - this.#lookedAt < lookEveryMs) return
    this.#lookedAt = performance.now()
    this.#inBackground('server', () => this.#look())
  }

  /** After a fetch that was interrupted: brokers that come back may have lost records. @throws {MillraceError} OFFSETS_MISSING */
  async confirm(): Promise<void> {
    const { fetcher, reader } = this.#context
    if (fetcher.interruptions === this.#interruptions) return
    this.#interruptions = fetcher.interruptions
    const known = [...this.#assigned.owned.values()].flatMap(({ topic, partition, last }) =>
      last === undefined ? [] : [{ topic, partition, last }],
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

  /** What is being inserted is not visible yet; what others own is known from their commits. */
  async #advanceWatermark(): Promise<void> {
    const { others, watermarks, writer } = this.#context
    const { owned } = this.#assigned
    const folded = new Map([...owned].map(([key, each]) => [key, each.progress.offset]))
    const theirs = await others.offsets(this.#assigned)
    const visible = (topic: string, partition: number) => {
      const key = partitionKey(topic, partition)
      return folded.get(key) ?? theirs.get(key) ?? -1
    }
    const { log, failures } = writer
    await retry(() => watermarks.advance(visible), { what: 'write a watermark', signal: this.#signal, log, failures })
  }

  /** @throws {MillraceError} FENCED after a restart of ClickHouse */
  async #look(): Promise<void> {
    const { writer } = this.#context
    const { inserter, log, failures } = writer
    const { clickhouse } = inserter
    const ask = async () => {
      if ((await serverLifetime(clickhouse)) !== this.#assigned.server) throw restarted()
      writer.uncertainty = await readUncertainty(clickhouse)
    }
    await retry(ask, { what: 'look at ClickHouse', signal: this.#signal, log, failures })
    const now = performance.now()
    if (now - this.#markedAt > onDiskMs) this.#raiseFloors(now)
    if (now - this.#committedAt > commitEveryMs) this.#renewCommits(now)
  }

  #raiseFloors(now: number): void {
    this.#markedAt = now
    for (const each of this.#assigned.owned.values()) {
      each.progress = { ...each.progress, floor: each.mark }
      each.mark = each.progress.offset
    }
  }

  /** Not of what is being inserted: that would take back what was announced. */
  #renewCommits(now: number): void {
    this.#committedAt = now
    for (const each of this.#assigned.owned.values()) {
      if (!this.#inserts.isBusy(this.#context.writer.tables.get(each.topic)!.group)) each.isNews = true
    }
  }
}
