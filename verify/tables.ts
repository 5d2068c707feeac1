// verify/tables: everything there is to say of one captured table: its rows, its images, its key, and what its stable name shows.

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
  /** `failed`: it could not be compared whole, and what was compared is equal. */
  readonly state: 'equal' | 'different' | 'failed'
  /** What else differs than rows, in sentences. */
  readonly problems: readonly string[]
  /** Columns that Postgres has and ClickHouse has not, although nobody said so. Not compared. */
  readonly leftBehind: readonly string[]
  /** Why something of it could not be compared. */
  readonly failures: readonly Failure[]
}

interface CompareOptions {
  readonly warehouse: OpenedWarehouse
  readonly snapshot: SourceSnapshot
  readonly source: Source
  readonly config: Config
  /** Stable names that show something else, which is said elsewhere. */
  readonly misnamed: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/**
 * Compares all tables as of the snapshot's LSN, up to which ClickHouse must show everything.
 * @returns the comparisons by `schema.table`, and the tables that the configuration names and that are not captured
 * @throws {MillraceError} *_UNREACHABLE; the signal's reason
 */
export async function compareTables(
  moment: Omit<CompareOptions, 'source'>,
): Promise<{ tables: Record<string, TableComparison>; uncaptured: readonly string[] }> {
  const captured = moment.warehouse.tables
  const source = await readSource(moment.snapshot.client, moment.config, captured)
  const tables: Record<string, TableComparison> = {}
  for (const table of captured) tables[tableName(table)] = await compareTable({ ...moment, source }, table)
  return { tables, uncaptured: source.uncaptured }
}

async function compareTable(moment: CompareOptions, table: Table): Promise<TableComparison> {
  const first = await compareOnce(moment, table)
  // ClickHouse shows a changelog's part and the current state's part one after the other; a second look is past that moment.
  return first.state === 'different' ? compareOnce(moment, table) : first
}

const nothingCompared: RowComparison = { postgres: 0, clickhouse: 0, differing: 0, exact: false, keys: [] }

async function compareOnce(moment: CompareOptions, captured: Table): Promise<TableComparison> {
  const { snapshot, source, config, misnamed, signal } = moment
  const { clickhouse, objects } = moment.warehouse
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

/** Of a table whose key column is gone. */
async function countSides(client: Client, table: Table, right: Side): Promise<ComparedRows> {
  const [postgres, clickhouse] = [await countRows(client, table), total(await right.ranges(2, undefined))]
  return { comparison: { ...nothingCompared, postgres, clickhouse: clickhouse.rows }, clickhouse }
}

async function checkEnd(client: Client, place: ChangelogAtLsn): Promise<string[]> {
  const highest = await highestLsn(place)
  return fromTheFuture(highest, await walInsertLsn(client))
}
