// verify/changelog: checks that the images of a table add up to its rows, each image once, as of
// one LSN.

import type { Clickhouse } from '../clickhouse/client.ts'
import { changelogName, currentName } from '../clickhouse/ddl.ts'
import { historyName, versionsName } from '../clickhouse/history.ts'
import { quoteName, unusedName } from '../clickhouse/quote.ts'
import { formatLsn } from '../contract/position.ts'
import type { Table } from '../contract/table.ts'
import { clickhouseRow } from './canonical.ts'
import { readRows } from './reading.ts'
import type { Total } from './rows.ts'
import { namesOf } from './sides.ts'

export interface ChangelogAtLsn {
  readonly clickhouse: Clickhouse
  readonly table: Table
  /**
   * Everything below this LSN is visible, so the figures below it are constant while changes flow.
   */
  readonly lsn: number
}

interface PartitionRow {
  readonly partition: number
  readonly repeated: string
  readonly truncated: string
  readonly rows: string
  readonly sum: string
  readonly in_order: number
  readonly versions: string
  readonly versions_sum: string
}

/**
 * Aggregates are sums over the images, so the images of each row must add up to the row.
 * @returns a sentence for each problem
 * @param current the rows of the current state as of the same LSN
 * @throws {MillraceError} CLICKHOUSE_*
 */
export async function checkChangelog(place: ChangelogAtLsn, current: Total): Promise<string[]> {
  const partitions = await sumPartitions(place)
  const total = (name: 'rows' | 'sum' | 'repeated' | 'truncated') =>
    partitions.reduce((sum, partition) => sum + BigInt(partition[name]), 0n)
  const repeated = total('repeated') + (total('truncated') > 0n ? await repeatedTruncates(place) : 0n)
  const problems: string[] = []
  if (repeated > 0n) problems.push(`${repeated} images are more than once in the changelog${await example(place)}`)
  if (total('rows') !== BigInt(current.rows)) {
    problems.push(
      `the images of the changelog add up to ${total('rows')} rows, and the current state has ${current.rows}`,
    )
  } else if (total('sum') !== current.sum) {
    problems.push(
      'the images of the changelog do not add up to the rows of the current state: a former image differs from the new image that it ends',
    )
  }
  for (const { partition, in_order } of partitions) {
    if (in_order === 0)
      problems.push(
        `partition ${partition}: the image of the highest offset is not the newest, so the changelog contains two topics`,
      )
  }
  if (repeated === 0n) problems.push(...(await checkHistory(place, partitions)))
  return problems
}

/**
 * A TRUNCATE has an image of each row at one offset. Any other offset has at most one image of each
 * sign.
 */
function sumPartitions({ clickhouse, table, lsn }: ChangelogAtLsn): Promise<PartitionRow[]> {
  const d = unusedName(namesOf(table), 'd')
  const marks = `_sign > 0 OR _op IN ('d', 't')`
  return readRows<PartitionRow>(
    clickhouse,
    `SELECT _partition AS partition,
  toString(countIf(_op != 't') - groupBitmapIf(_offset * 2 + toUInt64(_sign > 0), _op != 't')) AS repeated,
  toString(countIf(_op = 't')) AS truncated,
  toString(sum(toInt64(_sign))) AS rows, toString(sum(toInt128(${d}) * _sign)) AS sum,
  toUInt8(argMax(_version, _offset) = max(_version)) AS in_order,
  toString(countIf(${marks})) AS versions, toString(sumIf(toInt128(${versionDigest(d, '_sign < 0')}), ${marks})) AS versions_sum
FROM (SELECT _partition, _offset, _sign, _op, _version, ${clickhouseRow(table).digest} AS ${d}
  FROM ${quoteName(changelogName(table))} WHERE _lsn < ${lsn})
GROUP BY _partition`,
  )
}

function versionDigest(digest: string, deleted: string): string {
  return `cityHash64(${digest}, _version, toUInt8(${deleted}))`
}

const inOrder = { optimize_aggregation_in_order: 1 } as const

async function repeatedTruncates({ clickhouse, table, lsn }: ChangelogAtLsn): Promise<bigint> {
  const key = table.key.map(quoteName).join(', ')
  const n = unusedName(namesOf(table), 'n')
  const [row] = await readRows<{ repeated: string }>(
    clickhouse,
    `SELECT toString(sum(${n} - 1)) AS repeated FROM (SELECT count() AS ${n} FROM ${quoteName(changelogName(table))}
WHERE _op = 't' AND _lsn < ${lsn} GROUP BY _partition, _offset, _sign, ${key} HAVING ${n} > 1)`,
    {},
    inOrder,
  )
  return BigInt(row?.repeated ?? 0)
}

async function example({ clickhouse, table, lsn }: ChangelogAtLsn): Promise<string> {
  const [row] = await readRows<{ p: number; o: string }>(
    clickhouse,
    `SELECT _partition AS p, toString(_offset) AS o FROM ${quoteName(changelogName(table))} WHERE _lsn < ${lsn} AND _op != 't'
GROUP BY _partition, _offset, _sign HAVING count() > 1 ORDER BY _partition, _offset LIMIT 1`,
    {},
    inOrder,
  )
  return row === undefined ? '' : `, first at partition ${row.p}, offset ${row.o}`
}

/**
 * Checks that the table behind `schema.table.history` has every version of the changelog, and no
 * other.
 */
async function checkHistory(place: ChangelogAtLsn, partitions: readonly PartitionRow[]): Promise<string[]> {
  const { clickhouse, table, lsn } = place
  const [kept] = await readRows(
    clickhouse,
    'SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = {name:String}',
    { name: historyName(table) },
  )
  if (kept === undefined) return []
  const d = unusedName(namesOf(table), 'd')
  const [row] = await readRows<{ versions: string; sum: string }>(
    clickhouse,
    `SELECT toString(count()) AS versions, toString(sum(toInt128(${d}))) AS sum
FROM (SELECT ${versionDigest(clickhouseRow(table).digest, '_deleted')} AS ${d} FROM ${quoteName(versionsName(table))} FINAL WHERE _lsn < ${lsn})`,
  )
  const total = (name: 'versions' | 'versions_sum') => partitions.reduce((sum, each) => sum + BigInt(each[name]), 0n)
  if (BigInt(row!.versions) === total('versions') && BigInt(row!.sum) === total('versions_sum')) return []
  return [`the history holds ${row!.versions} versions and deletions, and the changelog has ${total('versions')}`]
}

/**
 * The highest LSN in ClickHouse. If the source's log ends below it, the rows are from another
 * database cluster, or from before a restore.
 */
export async function highestLsn({ clickhouse, table }: Omit<ChangelogAtLsn, 'lsn'>): Promise<number> {
  const [row] = await readRows<{ lsn: string }>(
    clickhouse,
    `SELECT toString(greatest((SELECT max(_lsn) FROM ${quoteName(changelogName(table))}),
  toUInt64(bitShiftRight((SELECT max(_version) FROM ${quoteName(currentName(table))}), 64)))) AS lsn`,
  )
  return Number(row!.lsn)
}

/** @param end the end of the source's log, read after `highest` */
export function fromTheFuture(highest: number, end: number): string[] {
  if (highest <= end) return []
  return [`ClickHouse holds changes up to ${formatLsn(highest)}, and the source's log ends at ${formatLsn(end)}`]
}
