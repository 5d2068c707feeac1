// consumer/assignment/watch: what is looked at beside the folding: the watermark, the run of ClickHouse, and whether the topics are still the same.

import { retry } from '../../runtime/retry.ts'
import { partitionKey } from '../records/partition-key.ts'
import { restarted, serverLifetime } from '../warehouse/server-run.ts'
import { readUncertainty } from '../warehouse/uncertain.ts'
import type { FoldLoop, Tenure } from './assignment.ts'
import { confirmRecords } from './confirm.ts'
import type { Lanes } from './lanes.ts'

const lookEveryMs = 5_000
/** Linux writes what was written to files to its disk within about 35 seconds. */
const onDiskMs = 60_000
/** Kafka forgets offsets that nobody commits, by default after seven days without a member in the group. */
const commitEveryMs = 3_600_000

export class Watch {
  readonly #loop: FoldLoop
  readonly #tenure: Tenure
  readonly #lanes: Lanes
  readonly #signal: AbortSignal
  #lookedAt = performance.now()
  #markedAt = performance.now()
  #committedAt = performance.now()
  #interruptions: number
  readonly #running = new Map<string, Promise<void>>()
  #failure: { readonly error: unknown } | undefined

  constructor(loop: FoldLoop, tenure: Tenure, { lanes, signal }: { lanes: Lanes; signal: AbortSignal }) {
    this.#loop = loop
    this.#tenure = tenure
    this.#lanes = lanes
    this.#signal = signal
    this.#interruptions = loop.fetcher.interruptions
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
    const { fetcher, reader } = this.#loop
    if (fetcher.interruptions === this.#interruptions) return
    this.#interruptions = fetcher.interruptions
    const known = [...this.#tenure.owned.values()].flatMap(({ topic, partition, last }) =>
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
    const { others, watermarks, folder } = this.#loop
    const { owned } = this.#tenure
    const folded = new Map([...owned].map(([key, each]) => [key, each.folded.offset]))
    const theirs = await others.offsets(this.#tenure)
    const visible = (topic: string, partition: number) => {
      const key = partitionKey(topic, partition)
      return folded.get(key) ?? theirs.get(key) ?? -1
    }
    const { log, failures } = folder
    await retry(() => watermarks.advance(visible), { what: 'write a watermark', signal: this.#signal, log, failures })
  }

  /** @throws {MillraceError} FENCED after a restart of ClickHouse */
  async #look(): Promise<void> {
    const { folder } = this.#loop
    const { inserter, log, failures } = folder
    const { clickhouse } = inserter
    const ask = async () => {
      if ((await serverLifetime(clickhouse)) !== this.#tenure.server) throw restarted()
      folder.uncertainty = await readUncertainty(clickhouse)
    }
    await retry(ask, { what: 'look at ClickHouse', signal: this.#signal, log, failures })
    const now = performance.now()
    if (now - this.#markedAt > onDiskMs) this.#raiseFloors(now)
    if (now - this.#committedAt > commitEveryMs) this.#renewCommits(now)
  }

  #raiseFloors(now: number): void {
    this.#markedAt = now
    for (const each of this.#tenure.owned.values()) {
      each.folded = { ...each.folded, floor: each.mark }
      each.mark = each.folded.offset
    }
  }

  /** Not of what is being inserted: that would take back what was announced. */
  #renewCommits(now: number): void {
    this.#committedAt = now
    for (const each of this.#tenure.owned.values()) {
      if (!this.#lanes.isBusy(this.#loop.folder.tables.get(each.topic)!.group)) each.isNews = true
    }
  }
}
