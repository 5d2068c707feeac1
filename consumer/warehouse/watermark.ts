// consumer/warehouse/watermark: up to which LSN and commit time everything is visible in ClickHouse.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { type Generation, type GenerationTable, parseWatermark, type Watermark } from '../../contract/generation.ts'
import type { RecordSet } from '../../kafka/protocol/record-batch.ts'
import { probeTables } from './probe.ts'

/** First offset of a partition that is not yet visible. */
export type VisibleOffset = (topic: string, partition: number) => number

/** One row is enough; the newest wins. Analysts read the view. */
export const watermarkStatements = [
  `CREATE TABLE IF NOT EXISTS watermark (
  lsn UInt64 COMMENT 'every change committed before this LSN is visible',
  commit_time DateTime64(6, 'UTC') COMMENT 'commit time of the last of them, by the clock of the source',
  visible_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'when they were, by the clock of ClickHouse'
) ENGINE = ReplacingMergeTree(lsn) ORDER BY tuple()
COMMENT 'Up to which point of the source everything is visible'`,
  `CREATE VIEW IF NOT EXISTS freshness AS
SELECT lsn, commit_time, visible_at, dateDiff('millisecond', commit_time, now64(6, 'UTC')) AS behind_ms
FROM watermark ORDER BY lsn DESC, visible_at DESC LIMIT 1`,
]

/** Tables and views of a generation's database that belong to no captured table and to no model. */
export const engineTables: readonly string[] = [
  'watermark',
  'freshness',
  'captured',
  'server_lifetime',
  'uncertain',
  'made',
  ...probeTables,
]

/** Watermarks are written at most so often while changes flow, because each is an insert that the changes would wait for. */
const writeEveryMs = 100

/** As it stands in ClickHouse. */
export interface WrittenWatermark {
  readonly lsn: string
  /** By the clock of ClickHouse, the second, text of a DateTime in UTC. */
  readonly writtenAt: string
}

/** The newest; nothing while nothing of the generation has ever been visible. */
export async function readWatermark(clickhouse: Clickhouse): Promise<WrittenWatermark | undefined> {
  const [row] = await clickhouse.rows<WrittenWatermark>(
    'SELECT toString(lsn) AS lsn, toString(toDateTime(visible_at)) AS writtenAt FROM watermark ORDER BY lsn DESC, visible_at DESC LIMIT 1',
  )
  return row
}

/** Whether anything of the generation has ever been visible. */
export async function hasWatermark(clickhouse: Clickhouse): Promise<boolean> {
  return (await readWatermark(clickhouse)) !== undefined
}

/** Whether all is visible that the watermark covers: of each partition, every record before the offset that it names. */
export function isCovered(
  { offsets }: Pick<Watermark, 'offsets'>,
  tables: readonly Pick<GenerationTable, 'topic'>[],
  visible: VisibleOffset,
): boolean {
  return tables.every(({ topic }, table) =>
    offsets[table]!.every((offset, partition) => visible(topic, partition) >= offset),
  )
}

/** So many are kept; of more, every other one is left out, which only makes the visible one a little older. */
const mostPending = 256

/** Holds watermarks back until everything they cover has been folded. */
export class WatermarkFollower {
  readonly #clickhouse: Clickhouse
  readonly #generation: Generation
  readonly #beforeFirst: () => Promise<void>
  #pending: Watermark[] = []
  /** When the last one became visible, by `performance.now`. */
  writtenAt = Number.NEGATIVE_INFINITY
  #visible: Watermark | undefined

  /** @param beforeFirst makes the generation's views known; done before a watermark says that there is something to see */
  constructor(clickhouse: Clickhouse, generation: Generation, beforeFirst: () => Promise<void>) {
    this.#clickhouse = clickhouse
    this.#generation = generation
    this.#beforeFirst = beforeFirst
  }

  /** The last watermark that is visible. */
  get visible(): Watermark | undefined {
    return this.#visible
  }

  /** Watermarks that are known and not visible. */
  get pending(): number {
    return this.#pending.length
  }

  /** The newest watermark known, visible or not. */
  get newest(): Watermark | undefined {
    return this.#pending.at(-1) ?? this.#visible
  }

  /** Nothing is visible any more until it has been folded again. */
  forget(): void {
    this.#visible = undefined
  }

  /** @returns how many of the records are no watermarks of this generation, and were left out */
  add({ count, buffer, valueStarts, valueEnds }: RecordSet): number {
    let foreign = 0
    for (let index = 0; index < count; index++) {
      const start = valueStarts[index]!
      const value = start === -1 ? null : buffer.subarray(start, valueEnds[index])
      const watermark = parseWatermark(value, this.#generation.tables)
      if (watermark === undefined) foreign++
      else this.#keep(watermark)
    }
    return foreign
  }

  /** A consumer that is hours behind meets 20 of them a second, each with an offset of every partition. The newest is always kept. */
  #keep(watermark: Watermark): void {
    if (this.#pending.length >= mostPending) this.#pending = this.#pending.filter((_, index) => index % 2 === 0)
    this.#pending.push(watermark)
  }

  /** Writes down the newest pending watermark that is covered, if one is and the last one is old enough. */
  async advance(visible: VisibleOffset): Promise<void> {
    if (performance.now() - this.writtenAt < writeEveryMs) return
    const index = this.#pending.findLastIndex(watermark => isCovered(watermark, this.#generation.tables, visible))
    if (index === -1) return
    if (this.#visible === undefined) await this.#beforeFirst()
    const reached = this.#pending[index]!
    await this.#clickhouse.command(
      `INSERT INTO watermark (lsn, commit_time) VALUES (${reached.lsn}, fromUnixTimestamp64Micro(${reached.commitTimeUs}, 'UTC'))`,
      { async_insert: 0 },
    )
    this.#pending = this.#pending.slice(index + 1)
    this.#visible = reached
    this.writtenAt = performance.now()
  }
}
