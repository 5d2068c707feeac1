// consumer/warehouse/watermark: writes the LSN and the commit time below which everything is
// visible in ClickHouse.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { type Generation, type GenerationTable, parseWatermark, type Watermark } from '../../contract/generation.ts'
import type { RecordSet } from '../../kafka/protocol/record-batch.ts'
import { probeTables } from './probe.ts'

/** First offset of a partition that is not yet visible. */
export type VisibleOffset = (topic: string, partition: number) => number

/** The newest row counts. Analysts read the view `freshness`. */
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

/**
 * Pause between two watermarks, because each is an insert that competes with the inserts of
 * changes.
 */
const writeEveryMs = 100

/** A watermark as ClickHouse holds it. */
export interface WrittenWatermark {
  readonly lsn: string
  /** By the clock of ClickHouse, to the second: text of a DateTime in UTC. */
  readonly writtenAt: string
}

/** The newest watermark; undefined until the initial load has become visible. */
export async function readWatermark(clickhouse: Clickhouse): Promise<WrittenWatermark | undefined> {
  const [row] = await clickhouse.rows<WrittenWatermark>(
    'SELECT toString(lsn) AS lsn, toString(toDateTime(visible_at)) AS writtenAt FROM watermark ORDER BY lsn DESC, visible_at DESC LIMIT 1',
  )
  return row
}

/** Whether the initial load has become visible. */
export async function hasWatermark(clickhouse: Clickhouse): Promise<boolean> {
  return (await readWatermark(clickhouse)) !== undefined
}

/**
 * Whether every record that the watermark covers is visible. It names an offset of each partition.
 */
export function isCovered(
  { offsets }: Pick<Watermark, 'offsets'>,
  tables: readonly Pick<GenerationTable, 'topic'>[],
  visible: VisibleOffset,
): boolean {
  return tables.every(({ topic }, table) =>
    offsets[table]!.every((offset, partition) => visible(topic, partition) >= offset),
  )
}

/**
 * Pending watermarks. Above this number, every other one is dropped, which makes the visible one a
 * little older.
 */
const mostPending = 256

/** Writes a watermark to ClickHouse when every record that it covers is visible there. */
export class WatermarkFollower {
  readonly #clickhouse: Clickhouse
  readonly #generation: Generation
  readonly #beforeFirst: () => Promise<void>
  #pending: Watermark[] = []
  /** When the last watermark was written, by `performance.now`. */
  writtenAt = Number.NEGATIVE_INFINITY
  #visible: Watermark | undefined

  /**
   * @param beforeFirst publishes the generation's views. Called before the first watermark is
   *   written
   */
  constructor(clickhouse: Clickhouse, generation: Generation, beforeFirst: () => Promise<void>) {
    this.#clickhouse = clickhouse
    this.#generation = generation
    this.#beforeFirst = beforeFirst
  }

  /** The last watermark that is visible. */
  get visible(): Watermark | undefined {
    return this.#visible
  }

  /** Number of watermarks that are known and not visible. */
  get pending(): number {
    return this.#pending.length
  }

  /** The newest watermark known, visible or not. */
  get newest(): Watermark | undefined {
    return this.#pending.at(-1) ?? this.#visible
  }

  /** ClickHouse has lost rows: no watermark is visible until they are inserted again. */
  forget(): void {
    this.#visible = undefined
  }

  /** @returns the number of records that are no watermarks of this generation. They are ignored */
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

  /**
   * A consumer that is hours behind reads 20 watermarks for each second of the source, each with an
   * offset per partition. The newest is always kept.
   */
  #keep(watermark: Watermark): void {
    if (this.#pending.length >= mostPending) this.#pending = this.#pending.filter((_, index) => index % 2 === 0)
    this.#pending.push(watermark)
  }

  /**
   * Writes the newest pending watermark whose records are visible, at most every `writeEveryMs`.
   */
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
