// verify/tables: compares the captured tables: rows, images, keys, and stable names.

import { changelogName, currentName } from '../clickhouse/ddl.ts'
import { type Table, tableName } from '../contract/table.ts'
import type { Client } from '../postgres/client/client.ts'
import { walInsertLsn } from '../postgres/replication/history.ts'
import type { Config } from '../runtime/config/config.ts'
import { attempt, type Failure, isFailure } from './attempt.ts'
import { type ChangelogAtLsn, checkChangelog, fromTheFuture, highestLsn } from './changelog.ts'
import { type ComparedRows, compareRows, type RowComparison, total } from './rows.ts'
import { clickhouseSide, countRows, emptySide, postgresSide, type Side } from './sides.ts'
import type { SourceSnapshot } from './snapshot.ts'
import { columnsLeftBehind, comparable, readSource, type Source } from './source.ts'
import { checkRowsShown } from './stable-names.ts'
import type { OpenedWarehouse } from './warehouse.ts'

export interface TableComparison extends RowComparison {
  /** `failed`: a part of the comparison failed, and the other parts are equal. */
  readonly state: 'equal' | 'different' | 'failed'
  /** A sentence for each difference other than rows. */
  readonly problems: readonly string[]
  /** Columns that are only in Postgres without a `drop` policy. Not compared. */
  readonly leftBehind: readonly string[]
  /** Why parts of the comparison failed. */
  readonly failures: readonly Failure[]
}

interface CompareOptions {
  readonly warehouse: OpenedWarehouse
  readonly snapshot: SourceSnapshot
  readonly source: Source
  readonly config: Config
  /** Stable names that show something else. They are reported elsewhere. */
  readonly misnamed: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/**
 * Compares all tables as of the snapshot's LSN. ClickHouse must show everything below it.
 * @returns the comparisons by `schema.table`, and the tables that the configuration names and that
 *   are not captured
 * @throws {MillraceError} *_UNREACHABLE; the signal's reason
 */
export async function compareTables(
  options: Omit<CompareOptions, 'source'>,
): Promise<{ tables: Record<string, TableComparison>; uncaptured: readonly string[] }> {
  const captured = options.warehouse.tables
  const source = await readSource(options.snapshot.client, options.config, captured)
  const tables: Record<string, TableComparison> = {}
  for (const table of captured) tables[tableName(table)] = await compareTable({ ...options, source }, table)
  return { tables, uncaptured: source.uncaptured }
}

async function compareTable(options: CompareOptions, table: Table): Promise<TableComparison> {
  const first = await compareOnce(options, table)
  // A changelog's part becomes visible just before the current state's part. A second comparison
  // sees both.
  return first.state === 'different' ? compareOnce(options, table) : first
}

const nothingCompared: RowComparison = { postgres: 0, clickhouse: 0, differing: 0, exact: false, keys: [] }

async function compareOnce(options: CompareOptions, captured: Table): Promise<TableComparison> {
  const { snapshot, source, config, misnamed, signal } = options
  const { clickhouse, objects } = options.warehouse
  const { client, lsn } = snapshot
  const found = source.tables.get(tableName(captured))
  const { rows, table, problems: changes } = comparable(captured, found)
  const absent = [changelogName(captured), currentName(captured)].filter(name => !objects.has(name))
  const problems = [...changes, ...absent.map(name => `there is no table ${name} in ClickHouse`)]
  const failures: Failure[] = []
  const tried = async <Result extends object>(work: () => Promise<Result>): Promise<Result | undefined> => {
    const result = await attempt(client, signal, work)
    if (!isFailure(result)) return result
    failures.push(result)
    return undefined
  }
  const left = rows === 'none' ? emptySide : postgresSide(client, table)
  const right = absent.length === 0 ? clickhouseSide(clickhouse, table, lsn) : emptySide
  const compared = await tried(() => (rows === 'count' ? countSides(client, table, right) : compareRows(left, right)))
  if (absent.length === 0) {
    const place = { clickhouse, table, lsn }
    if (compared !== undefined)
      problems.push(...((await tried(() => checkChangelog(place, compared.clickhouse))) ?? []))
    problems.push(...((await tried(() => checkEnd(client, place))) ?? []))
    if (!(tableName(captured) in misnamed))
      problems.push(...((await tried(() => checkRowsShown(clickhouse, captured))) ?? []))
  }
  const comparison = compared?.comparison ?? nothingCompared
  const leftBehind = found === undefined ? [] : columnsLeftBehind(config, captured, found)
  const isEqual = problems.length === 0 && comparison.differing === 0 && comparison.postgres === comparison.clickhouse
  const state = isEqual ? (failures.length === 0 ? 'equal' : 'failed') : 'different'
  return { ...comparison, state, problems, leftBehind, failures }
}

/** Compares numbers of rows, for a table whose key column is gone. */
async function countSides(client: Client, table: Table, right: Side): Promise<ComparedRows> {
  const [postgres, clickhouse] = [await countRows(client, table), total(await right.ranges(2, undefined))]
  return { comparison: { ...nothingCompared, postgres, clickhouse: clickhouse.rows }, clickhouse }
}

async function checkEnd(client: Client, place: ChangelogAtLsn): Promise<string[]> {
  const highest = await highestLsn(place)
  return fromTheFuture(highest, await walInsertLsn(client))
}
