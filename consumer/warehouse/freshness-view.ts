// consumer/warehouse/freshness-view: up to which point of the source each published table and
// report is right, as a view that every role may read.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { changelogSuffix } from '../../clickhouse/ddl.ts'
import type { PublishedView } from '../../clickhouse/publish.ts'
import { quoteName, quoteString } from '../../clickhouse/quote.ts'
import { tablesScope } from './watermark.ts'

export const freshnessViewName = 'freshness_by_name'

/**
 * The view under the name `freshness` in each database that the model publishes, so that a role
 * that reads one of them can read it too. A database in which the model has another `freshness`
 * gets none. Databases of captured tables get none either: several pipelines may publish there.
 */
export function freshnessViews(published: readonly PublishedView[]): PublishedView[] {
  const name = 'freshness'
  const taken = new Set(published.filter(view => view.name === name).map(({ database }) => database))
  const databases = new Set(published.map(({ database }) => database))
  return [...databases]
    .filter(database => !taken.has(database))
    .map(database => ({ database, name, source: freshnessViewName }))
}

/**
 * Creates the view in the session's database.
 * @param published views with their stable names
 * @param aggregates names of the model's aggregates
 */
export async function createFreshnessView(
  clickhouse: Clickhouse,
  published: readonly PublishedView[],
  aggregates: readonly string[],
): Promise<void> {
  const reads = await readsOf(clickhouse)
  const names = published
    .filter(({ source }) => source !== freshnessViewName)
    .map(({ database, name, source }) => {
      const used = aggregates.filter(aggregate => isReadBy(source, aggregate, reads))
      const kind = used.length > 0 ? 'report' : 'table'
      // A report that reads tables too is right up to the point of what is further behind.
      const scopes = [tablesScope, ...used].map(quoteString).join(', ')
      return `(${quoteString(`${database}.${name}`)}, ${quoteString(kind)}, [${scopes}])`
    })
  await clickhouse.command(`CREATE OR REPLACE VIEW ${quoteName(freshnessViewName)} (
  name String COMMENT 'Published name: database.table or database.report',
  kind String COMMENT 'table, or report when it reads an aggregate',
  lsn UInt64 COMMENT 'Every change committed before this LSN is in it. pg_current_wal_lsn() - ''0/0'' gives the LSN of a commit as a number',
  commit_time DateTime64(6, 'UTC') COMMENT 'Commit time of the last of them, by the clock of the source',
  behind_ms Int64 COMMENT 'Milliseconds from that time until now, by the clock of ClickHouse'
) AS
SELECT
  entry.1 AS name, entry.2 AS kind, min(points.lsn) AS lsn, argMin(points.commit_time, points.lsn) AS commit_time,
  dateDiff('millisecond', commit_time, now64(6, 'UTC')) AS behind_ms
FROM (SELECT arrayJoin([${names.join(',\n')}]) AS entry, arrayJoin(entry.3) AS scope) AS entries
INNER JOIN (SELECT scope, max(watermark.lsn) AS lsn, argMax(watermark.commit_time, watermark.lsn) AS commit_time FROM watermark GROUP BY scope) AS points
  ON points.scope = entries.scope
GROUP BY entry.1, entry.2, length(entry.3)
HAVING count() = length(entry.3)
COMMENT 'Up to which LSN and commit time each published table and report is right'`)
}

/** Object of the session's database → objects of it that its SELECT names. */
async function readsOf(clickhouse: Clickhouse): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await clickhouse.rows<{ name: string; select: string; database: string }>(
    "SELECT name, as_select AS select, database FROM system.tables WHERE database = currentDatabase() AND engine = 'View'",
  )
  return new Map(
    rows.map(({ name, select, database }) => {
      const paths = new RegExp(`\\b${database}\\.(?:\`((?:\\\\.|[^\`\\\\])+)\`|(\\w+))`, 'g')
      return [name, [...select.matchAll(paths)].map(([, quoted, plain]) => quoted ?? plain!)]
    }),
  )
}

function isReadBy(object: string, aggregate: string, reads: ReadonlyMap<string, readonly string[]>): boolean {
  if (object === aggregate) return true
  if (object.endsWith(changelogSuffix)) return false
  return (reads.get(object) ?? []).some(name => name !== object && isReadBy(name, aggregate, reads))
}
