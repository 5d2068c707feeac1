// consumer/warehouse/probe: checks, before any insert, that this server and this user keep every
// inserted row.

import { randomUUID } from 'node:crypto'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { insertSettings } from '../../clickhouse/insert.ts'
import { wholeAnswer } from '../../clickhouse/pinned-settings.ts'
import { quoteName, quoteString } from '../../clickhouse/quote.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sideBySide } from '../../runtime/side-by-side.ts'

/**
 * A table, and a view that sums its rows. Each start of a consumer inserts a few rows. Unlike other
 * tables, these would drop a repeated insert if the settings of the statement allowed it.
 */
export const probeStatements: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS probe (start UUID, id Int32, _sign Int8) ENGINE = MergeTree ORDER BY (start, id)
SETTINGS non_replicated_deduplication_window = 100 COMMENT 'Rows of each start of a consumer, inserted twice'`,
  `CREATE TABLE IF NOT EXISTS probe_sums (start UUID, images Int64) ENGINE = SummingMergeTree ORDER BY start
COMMENT 'Sums of the rows of probe'`,
  `CREATE MATERIALIZED VIEW IF NOT EXISTS probe_fold TO probe_sums AS
SELECT start, toInt64(sum(_sign)) AS images FROM probe GROUP BY start`,
]
export const probeTables: readonly string[] = ['probe', 'probe_sums', 'probe_fold']

const rows = 3
/**
 * Parallel requests. If several servers share the address, these requests reach more than one of
 * them.
 */
const requests = 6

/**
 * Each request has a connection of its own. Called before any object is created, because other
 * servers would lack it.
 * @throws {MillraceError} CLICKHOUSE_UNFIT when more than one server answers
 */
export async function requireOneServer(clickhouse: Clickhouse): Promise<void> {
  const ask = () =>
    clickhouse.rows<{ id: string; place: string }>(
      "SELECT toString(serverUUID()) AS id, concat(hostName(), ':', toString(tcpPort())) AS place",
      {},
      wholeAnswer,
    )
  const answers = (await Promise.all(Array.from({ length: requests }, ask))).flat()
  const servers = new Map(answers.map(({ id, place }) => [`${id} ${place}`, place]))
  if (servers.size === 1) return
  throw new MillraceError('CLICKHOUSE_UNFIT', {
    what: `${servers.size} servers answer at one address: ${[...servers.values()].join(', ')}; each has its own tables`,
    where: clickhouse.url,
    next: 'name one of them in clickhouse.url, then start again; nothing was inserted',
  })
}

/**
 * @throws {MillraceError} CLICKHOUSE_UNFIT when this server, or this user, would not keep each row
 *   once
 */
export async function probe(clickhouse: Clickhouse): Promise<void> {
  await sideBySide([requireOwnEngine, requireAllRows, requireAllInserts], ask => ask(clickhouse))
}

/**
 * A cluster may create tables of another engine than the statement names. Such tables may
 * acknowledge an insert before all replicas know it.
 */
async function requireOwnEngine(clickhouse: Clickhouse): Promise<void> {
  const [found] = await clickhouse.rows<{ engine: string }>(
    "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = 'probe'",
  )
  if (found?.engine === 'MergeTree') return
  throw new MillraceError('CLICKHOUSE_UNFIT', {
    what: `a table was created with the engine MergeTree, and has the engine ${found?.engine}, as in a cluster: changes would not be counted once`,
    where: `${clickhouse.url}, table probe`,
    next: 'name a server in clickhouse.url that does not belong to a cluster, then start again; nothing was inserted',
  })
}

/** Two inserts of the same rows are two inserts, and views get the rows of both. */
async function requireAllInserts(clickhouse: Clickhouse): Promise<void> {
  const start = randomUUID()
  const insert = `INSERT INTO probe (start, id, _sign) SELECT ${quoteString(start)}, id, 1 FROM input('id Int32') FORMAT RowBinary`
  const data = Buffer.alloc(4 * rows)
  for (let id = 0; id < rows; id++) data.writeInt32LE(id, 4 * id)
  for (let times = 0; times < 2; times++) await clickhouse.insert(insert, [data], insertSettings(rows))
  const [found] = await clickhouse.rows<{ table: string; view: string }>(
    `SELECT (SELECT count() FROM probe WHERE start = {start:UUID}) AS table,
  (SELECT sum(images) FROM probe_sums WHERE start = {start:UUID}) AS view`,
    { start },
  )
  const { table, view } = found!
  if (Number(table) === 2 * rows && Number(view) === 2 * rows) return
  throw new MillraceError('CLICKHOUSE_UNFIT', {
    what: `${rows} rows were inserted twice: the table shows ${table}, a view behind it ${view}, instead of ${2 * rows}`,
    where: `${clickhouse.url}, tables probe and probe_sums`,
    next: 'check whether a proxy between millrace and ClickHouse drops settings of statements; otherwise use a version of ClickHouse that obeys deduplicate_insert; then start again; nothing was inserted',
  })
}

/**
 * A row policy on a table of the generation would hide rows from the consumer. The list of policies
 * shows it. For a user who may not read the list, the plan of a query shows it, once the table has
 * rows.
 * @throws {MillraceError} CLICKHOUSE_UNFIT
 */
export async function requireAllRows(clickhouse: Clickhouse): Promise<void> {
  const hidden = await filteredTables(clickhouse)
  if (hidden.length === 0) return
  throw new MillraceError('CLICKHOUSE_UNFIT', {
    what: `a row policy hides rows from this user in ${hidden.join(', ')}: inserts and sums would lack them`,
    where: clickhouse.url,
    next: 'take this user out of the policy (SHOW ROW POLICIES lists them), then start again',
  })
}

interface Policy {
  readonly name: string
  readonly applies: boolean
  readonly isRestrictive: boolean
  readonly showsAll: boolean
}

async function filteredTables(clickhouse: Clickhouse): Promise<string[]> {
  const policies = await policiesOf(clickhouse)
  if (policies === undefined) return filteredByPlan(clickhouse)
  // A permissive policy that shows all rows overrides the other permissive policies of its table.
  const open = new Set(policies.filter(p => p.applies && p.showsAll && !p.isRestrictive).map(({ name }) => name))
  const isOpen = (name: string) => open.has(name) || open.has(everyTable)
  const hidden = policies.filter(p => p.applies && !p.showsAll && (p.isRestrictive || !isOpen(p.name)))
  if (hidden.length > 0) return [...new Set(hidden.map(({ name }) => name))]
  // A setting of the server decides what a policy for other users means for this one. Statements
  // cannot read it.
  return policies.every(({ name }) => isOpen(name)) ? [] : filteredByPlan(clickhouse)
}

const everyTable = '*'

/** The policies of tables of this database; undefined when this user may not list policies. */
async function policiesOf(clickhouse: Clickhouse): Promise<Policy[] | undefined> {
  const self = 'arrayConcat([currentUser()], enabledRoles())'
  try {
    return await clickhouse.rows<Policy>(
      `SELECT if(table = '', ${quoteString(everyTable)}, table) AS name,
  (hasAny(apply_to_list, ${self}) OR (apply_to_all AND NOT hasAny(apply_to_except, ${self}))) = 1 AS applies,
  is_restrictive = 1 AS isRestrictive, lower(ifNull(select_filter, '1')) IN ('1', 'true') AS showsAll
FROM system.row_policies WHERE database IN ('', '*', currentDatabase()) ORDER BY name`,
    )
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'CLICKHOUSE_DENIED') return undefined
    throw error
  }
}

async function filteredByPlan(clickhouse: Clickhouse): Promise<string[]> {
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
