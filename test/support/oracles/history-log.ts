// test/support/oracles/history-log: a table under random transactions, and a log of its rows
// between them.
// The log is compared with the history in ClickHouse, instant by instant.

import type { Random } from '../../../generator/shop/random.ts'
import { assert } from '../harness/suite.ts'
import type { Pipeline } from '../pipelines/pipeline.ts'

/** Rows can move between partitions, because the partition key is outside the primary key. */
export const loggedTable = `
CREATE TABLE public.logged (region text, id int, part int NOT NULL, v text, PRIMARY KEY (region, id));
ALTER TABLE public.logged REPLICA IDENTITY FULL;
INSERT INTO public.logged SELECT r, g, g % 3, 'loaded' FROM unnest(ARRAY['north', 'it''s']) r, generate_series(1, 4) g;`

interface Version {
  readonly key: string
  readonly row: string
  readonly start: string
  readonly end: string
  readonly is_current: boolean
}

interface Moment {
  /** µs since 1970, by Postgres' clock, after one commit and before the next. */
  readonly at: number
  readonly rows: readonly string[]
}

export class HistoryLog {
  readonly #pipeline: Pipeline
  readonly #moments: Moment[] = []

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline
  }

  /** Logs the table's rows. No other session may write meanwhile. */
  async note(): Promise<void> {
    const [now] = await this.#pipeline.sql('SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at')
    const rows = await this.#pipeline.sql(
      `SELECT concat_ws('|', region, id, part, coalesce(v, '~')) AS row FROM public.logged ORDER BY 1`,
    )
    this.#moments.push({ at: Number(now!.at), rows: rows.map(({ row }) => row!) })
  }

  /** Compares the history of all committed changes with every entry of the log. */
  async assertEqual(): Promise<void> {
    await this.#pipeline.settle()
    const versions = await this.#pipeline.clickhouse<Version>(
      `SELECT concat(region, '|', toString(id)) AS key, concat(key, '|', toString(part), '|', ifNull(v, '~')) AS row,
  toUnixTimestamp64Micro(start_date) AS start, toUnixTimestamp64Micro(end_date) AS end, is_current
FROM \`public.logged.history\` ORDER BY key, start_date`,
    )
    assert.ok(versions.length > this.#moments.length / 2, `only ${versions.length} versions`)
    for (const [index, version] of versions.entries()) {
      const next = versions[index + 1]
      assert.ok(Number(version.start) < Number(version.end), `empty: ${JSON.stringify(version)}`)
      if (next?.key === version.key) assert.ok(Number(version.end) <= Number(next.start), `overlap: ${version.row}`)
    }
    for (const [index, { at, rows }] of this.#moments.entries()) {
      const valid = versions.filter(({ start, end }) => Number(start) <= at && at < Number(end))
      assert.equal(valid.map(({ row }) => row).sort(), rows.toSorted(), `moment ${index} of ${this.#moments.length}`)
    }
    const current = versions.filter(({ is_current }) => is_current).map(({ row }) => row)
    assert.equal(current.sort(), this.#moments.at(-1)!.rows.toSorted(), 'current versions')
  }
}

export function randomLoggedStatement(random: Random): string {
  const one = `region = '${random.pick(['north', "it''s", 'süd'])}' AND id = ${random.integer(1, 6)}`
  const insert = `INSERT INTO public.logged SELECT r, g, ${random.integer(0, 2)}, 'made ${random.integer(1, 99)}'
FROM unnest(ARRAY['north', 'it''s', 'süd']) r, generate_series(${random.integer(1, 3)}, ${random.integer(3, 6)}) g ON CONFLICT`
  const kind = random.fraction()
  if (kind < 0.2) return `${insert} DO NOTHING`
  if (kind < 0.3) return `${insert} (region, id) DO UPDATE SET v = excluded.v, part = excluded.part`
  if (kind < 0.5) return `UPDATE public.logged SET v = 'set ${random.integer(1, 99)}' WHERE ${one}`
  if (kind < 0.6) return `UPDATE public.logged SET v = NULL, part = part + 1 WHERE id >= ${random.integer(1, 6)}`
  if (kind < 0.7) return `UPDATE public.logged SET id = id + 10 WHERE ${one}`
  if (kind < 0.8) return `UPDATE public.logged SET id = id - 10, region = 'north' WHERE id > 10 AND region <> 'north'`
  if (kind < 0.97) return `DELETE FROM public.logged WHERE ${one} OR id = ${random.integer(1, 16)}`
  return 'TRUNCATE public.logged'
}
