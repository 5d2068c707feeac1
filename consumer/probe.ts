// consumer/probe: whether this server, and this user of it, count every change once; asked before anything is folded.
// May know: clickhouse, runtime.

import { randomUUID } from 'node:crypto'
import type { Clickhouse } from '../clickhouse/client.ts'
import { tokenSettings } from '../clickhouse/ddl.ts'
import { insertSettings } from '../clickhouse/insert.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { MillraceError } from '../runtime/errors.ts'
import { sideBySide } from '../runtime/side-by-side.ts'

/** A table with a view of sums behind it. Each start of a consumer leaves a few rows there. */
export const probeStatements: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS probe (start UUID, id Int32, _sign Int8) ENGINE = MergeTree ORDER BY (start, id)
SETTINGS ${tokenSettings} COMMENT 'Rows of each start of a consumer, inserted twice under one token'`,
  `CREATE TABLE IF NOT EXISTS probe_sums (start UUID, images Int64) ENGINE = SummingMergeTree ORDER BY start
SETTINGS ${tokenSettings} COMMENT 'Sums of the rows of probe'`,
  `CREATE MATERIALIZED VIEW IF NOT EXISTS probe_fold TO probe_sums AS
SELECT start, toInt64(sum(_sign)) AS images FROM probe GROUP BY start`,
]
export const probeTables: readonly string[] = ['probe', 'probe_sums', 'probe_fold']

const rows = 3
/** So many requests at once meet more than one server, if there are several. */
const requests = 6

/**
 * Inserts twice under one token.
 * @throws {MillraceError} CLICKHOUSE_UNFIT when that counts twice, or not at all in the table or in the view behind it; when more than one
 *   server answers, or rows of a table are hidden from this user
 */
export async function probe(clickhouse: Clickhouse): Promise<void> {
  await requireOneServer(clickhouse)
  await requireAllRows(clickhouse)
  const start = randomUUID()
  const insert = `INSERT INTO probe (start, id, _sign) SELECT '${start}', id, 1 FROM input('id Int32') FORMAT RowBinary`
  const data = Buffer.alloc(4 * rows)
  for (let id = 0; id < rows; id++) data.writeInt32LE(id, 4 * id)
  for (let times = 0; times < 2; times++) await clickhouse.insert(insert, [data], insertSettings(start, rows))
  const [found] = await clickhouse.rows<{ table: string; view: string; engine: string }>(
    `SELECT (SELECT count() FROM probe WHERE start = {start:UUID}) AS table,
  (SELECT sum(images) FROM probe_sums WHERE start = {start:UUID}) AS view,
  (SELECT any(engine) FROM system.tables WHERE database = currentDatabase() AND name = 'probe') AS engine`,
    { start },
  )
  if (found?.engine !== 'MergeTree')
    throw unfit(clickhouse, `it makes tables of the engine ${found?.engine}, as a cluster does`)
  for (const [what, count] of [
    ['the table', found.table],
    ['a view behind it', found.view],
  ] as const) {
    if (Number(count) === rows) continue
    throw unfit(clickhouse, `${rows} rows were inserted, and once more under the same token: ${what} shows ${count}`)
  }
}

/** Each request has a connection of its own. */
async function requireOneServer(clickhouse: Clickhouse): Promise<void> {
  const ask = () =>
    clickhouse.rows<{ id: string; place: string }>(
      "SELECT toString(serverUUID()) AS id, concat(hostName(), ':', toString(tcpPort())) AS place, sleep(0.005)",
    )
  const answers = (await Promise.all(Array.from({ length: requests }, ask))).flat()
  const servers = new Map(answers.map(({ id, place }) => [`${id} ${place}`, place]))
  if (servers.size > 1)
    throw unfit(clickhouse, `${servers.size} servers answer at this address: ${[...servers.values()].join(', ')}`)
}

/**
 * A row policy may stand on any table of the generation, and would hide rows from what folds. The list of policies tells; a user who may not read
 * it is told by ClickHouse's plan of a query, once there is something to read.
 * @throws {MillraceError} CLICKHOUSE_UNFIT
 */
export async function requireAllRows(clickhouse: Clickhouse): Promise<void> {
  const hidden = (await policiesOf(clickhouse)) ?? (await filteredTables(clickhouse))
  if (hidden.length > 0) throw unfit(clickhouse, `a row policy hides rows from this user in ${hidden.join(', ')}`)
}

/** Tables with a policy that applies to this user or to one of its roles; undefined when it may not be known. */
async function policiesOf(clickhouse: Clickhouse): Promise<string[] | undefined> {
  const self = 'arrayConcat([currentUser()], enabledRoles())'
  try {
    const rows = await clickhouse.rows<{ name: string }>(
      `SELECT if(table = '', '*', table) AS name FROM system.row_policies WHERE database IN ('', '*', currentDatabase())
AND (hasAny(apply_to_list, ${self}) OR (apply_to_all AND NOT hasAny(apply_to_except, ${self}))) ORDER BY name`,
    )
    return rows.map(({ name }) => name)
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'CLICKHOUSE_DENIED') return undefined
    throw error
  }
}

async function filteredTables(clickhouse: Clickhouse): Promise<string[]> {
  const tables = await clickhouse.rows<{ name: string }>(
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name",
  )
  const filtered = new Set<string>()
  await sideBySide(tables, async ({ name }) => {
    const plan = await clickhouse.rows<{ explain: string }>(`EXPLAIN actions = 1 SELECT * FROM ${quoteName(name)}`)
    if (plan.some(({ explain }) => explain.includes('Row level filter'))) filtered.add(name)
  })
  return [...filtered].sort()
}

function unfit({ url }: Clickhouse, what: string): MillraceError {
  return new MillraceError('CLICKHOUSE_UNFIT', {
    what: `changes would not be counted exactly: ${what}`,
    where: url,
    next: "name one single server in clickhouse.url, and look at its version, at the settings in the user's profile and at row policies; nothing was folded",
  })
}
