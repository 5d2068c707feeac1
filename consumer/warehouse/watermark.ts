// consumer/warehouse/watermark: writes the LSN and the commit time below which everything is
// visible in ClickHouse.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { quoteString } from '../../clickhouse/quote.ts'
import { type Generation, type GenerationTable, parseWatermark, type Watermark } from '../../contract/generation.ts'
import type { RecordSet } from '../../kafka/protocol/record-batch.ts'
import { probeTables } from './probe.ts'

/** First offset of a partition that is not yet visible. */
export type VisibleOffset = (topic: string, partition: number) => number

/** The newest row counts. Analysts read the view `freshness`. */
export const watermarkStatements = [
  `CREATE TABLE IF NOT EXISTS watermark (
  scope LowCardinality(String) COMMENT 'what is right: the tables, the aggregate of this name, or if empty everything',
  lsn UInt64 COMMENT 'every change committed before this LSN is visible',
  commit_time DateTime64(6, 'UTC') COMMENT 'commit time of the last of them, by the clock of the source',
  visible_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'when they were, by the clock of ClickHouse'
) ENGINE = ReplacingMergeTree(lsn) ORDER BY scope
COMMENT 'Up to which point of the source everything is visible'`,
  `CREATE VIEW IF NOT EXISTS freshness AS
SELECT lsn, commit_time, visible_at, dateDiff('millisecond', commit_time, now64(6, 'UTC')) AS behind_ms
FROM watermark WHERE scope = '' ORDER BY lsn DESC, visible_at DESC LIMIT 1`,
]

/** Tables and views of a generation's database that belong to no captured table and to no model. */
export const engineTables: readonly string[] = ['watermark', 'freshness', 'captured', 'epochs', 'made', ...probeTables]

/**
 * Pause between two watermarks, because each is an insert that competes with the inserts of
 * changes.
 */
const writeEveryMs = 100

/** A watermark in ClickHouse. */
export interface WrittenWatermark {
  readonly lsn: string
  /** By the clock of ClickHouse, to the second: text of a DateTime in UTC. */
  readonly writtenAt: string
}

/** The newest watermark; undefined until the initial load has become visible. */
export async function readWatermark(clickhouse: Clickhouse): Promise<WrittenWatermark | undefined> {
  const [row] = await clickhouse.rows<WrittenWatermark>(
    "SELECT toString(lsn) AS lsn, toString(toDateTime(visible_at)) AS writtenAt FROM watermark WHERE scope = '' ORDER BY lsn DESC, visible_at DESC LIMIT 1",
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

/** A point of the source: an LSN and the commit time of the last change before it. */
export type SourcePoint = Pick<Watermark, 'lsn' | 'commitTimeUs'>

/**
 * Knows the newest watermark whose records are in the tables, and the last point that was written
 * to ClickHouse.
 */
export class WatermarkFollower {
  readonly #generation: Generation
  #pending: Watermark[] = []
  #covered: Watermark | undefined
  #written: SourcePoint | undefined
  #writtenPoints = ''
  /** When the last watermark was written, by `performance.now`. */
  #writtenAt = Number.NEGATIVE_INFINITY
  /** When a watermark was last found to be covered, by `performance.now`. */
  coveredAt = Number.NEGATIVE_INFINITY

  constructor(generation: Generation) {
    this.#generation = generation
  }

  /** The newest watermark whose records are in the tables. */
  get covered(): Watermark | undefined {
    return this.#covered
  }

  /** Up to where tables and aggregates are right, as this member has written it. */
  get written(): SourcePoint | undefined {
    return this.#written
  }

  /** Whether the newest watermark is covered and written. */
  get isIdle(): boolean {
    return this.#pending.length === 0 && (this.#covered?.lsn ?? 0) <= (this.#written?.lsn ?? 0)
  }

  /** The newest watermark known, covered or not. */
  get newest(): Watermark | undefined {
    return this.#pending.at(-1) ?? this.#covered
  }

  /** Nothing is known to be covered until each partition has been compared again. */
  forget(): void {
    this.#covered = undefined
    // Another member may have removed the rows that this one wrote.
    this.#writtenPoints = ''
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

  /** Finds the newest watermark whose records are visible. @returns it, also when it is not new */
  cover(visible: VisibleOffset): Watermark | undefined {
    const index = this.#pending.findLastIndex(watermark => isCovered(watermark, this.#generation.tables, visible))
    if (index === -1) return this.#covered
    this.#covered = this.#pending[index]!
    this.coveredAt = performance.now()
    this.#pending = this.#pending.slice(index + 1)
    return this.#covered
  }

  /** Whether these points differ from the last ones that were written, long enough ago. */
  isDue(points: readonly ScopePoint[]): boolean {
    return JSON.stringify(points) !== this.#writtenPoints && performance.now() - this.#writtenAt >= writeEveryMs
  }

  /** ClickHouse says now that everything is right up to this point, and the scopes up to theirs. */
  wrote(point: SourcePoint, points: readonly ScopePoint[] = []): void {
    this.#written = point
    this.#writtenPoints = JSON.stringify(points)
    this.#writtenAt = performance.now()
  }
}

/** Up to which point a scope is right. */
export type ScopePoint = readonly [scope: string, point: SourcePoint]

/** The scope of all tables and histories. */
export const tablesScope = 'tables'

/** The scope of everything: the tables and all aggregates. */
export const everything = ''

/**
 * Writes up to which points everything, the tables, and each aggregate are right.
 * @throws {MillraceError} FENCED when another member may have taken over
 */
export async function writeWatermark(
  clickhouse: Clickhouse,
  points: readonly ScopePoint[],
  guard: string,
): Promise<void> {
  const rows = points.map(
    ([scope, { lsn, commitTimeUs }]) => `(${quoteString(scope)}, toUInt64(${lsn}), toInt64(${commitTimeUs}))`,
  )
  await clickhouse.command(
    `INSERT INTO watermark (scope, lsn, commit_time)
SELECT row.1, row.2, fromUnixTimestamp64Micro(row.3, 'UTC') FROM (SELECT arrayJoin([${rows.join(', ')}]) AS row) WHERE ${guard}`,
    { async_insert: 0 },
  )
}
