// consumer/warehouse/probe: whether this server, and this user of it, count every change once; asked before anything is folded.

import { randomUUID } from 'node:crypto'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { tokenSettings } from '../../clickhouse/ddl.ts'
import { insertSettings } from '../../clickhouse/insert.ts'
import { wholeAnswer } from '../../clickhouse/pinned-settings.ts'
import { quoteName, quoteString } from '../../clickhouse/quote.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sideBySide } from '../../runtime/side-by-side.ts'

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
 * Each request has a connection of its own. To be asked before anything is made: what one server has, the others miss.
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
    what: `${servers.size} servers answer at one address: ${[...servers.values()].join(', ')}; each has tables of its own`,
    where: clickhouse.url,
    next: 'name a single one of them in clickhouse.url, then start again; nothing was folded',
  })
}

/** @throws {MillraceError} CLICKHOUSE_UNFIT when this server, or this user, would not count each change once */
export async function probe(clickhouse: Clickhouse): Promise<void> {
  await sideBySide([requireOwnEngine, requireAllRows, requireOnce], ask => ask(clickhouse))
}

/** A cluster may make tables of another engine than it is asked for. They forget tokens, or answer before all replicas know of an insert. */
async function requireOwnEngine(clickhouse: Clickhouse): Promise<void> {
  const [found] = await clickhouse.rows<{ engine: string }>(
    "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = 'probe'",
  )
  if (found?.engine === 'MergeTree') return
  throw new MillraceError('CLICKHOUSE_UNFIT', {
    what: `a table was to be of the engine MergeTree, and is of the engine ${found?.engine}, as a cluster makes it: changes would not be counted once`,
    where: `${clickhouse.url}, table probe`,
    next: 'name a server in clickhouse.url that is no part of a cluster, then start again; nothing was folded',
  })
}

/** Inserts twice under one token. */
async function requireOnce(clickhouse: Clickhouse): Promise<void> {
  const start = randomUUID()
  const insert = `INSERT INTO probe (start, id, _sign) SELECT ${quoteString(start)}, id, 1 FROM input('id Int32') FORMAT RowBinary`
  const data = Buffer.alloc(4 * rows)
  for (let id = 0; id < rows; id++) data.writeInt32LE(id, 4 * id)
  for (let times = 0; times < 2; times++) await clickhouse.insert(insert, [data], insertSettings(start, rows))
  const [found] = await clickhouse.rows<{ table: string; view: string }>(
    `SELECT (SELECT count() FROM probe WHERE start = {start:UUID}) AS table,
  (SELECT sum(images) FROM probe_sums WHERE start = {start:UUID}) AS view`,
    { start },
  )
  const { table, view } = found!
  if (Number(table) === rows && Number(view) === rows) return
  throw new MillraceError('CLICKHOUSE_UNFIT', {
    what: `${rows} rows were inserted, and once more under the same token: the table shows ${table}, a view behind it ${view}`,
    where: `${clickhouse.url}, tables probe and probe_sums`,
    next: 'look whether something between millrace and ClickHouse drops settings of statements, as proxies do; otherwise take a version of ClickHouse that knows an insert by its token; then start again; nothing was folded',
  })
}

/**
 * A row policy may stand on any table of the generation, and would hide rows from what folds. The list of policies tells; a user who may not
 * read it is told by ClickHouse's plan of a query, once there is something to read.
 * @throws {MillraceError} CLICKHOUSE_UNFIT
 */
export async function requireAllRows(clickhouse: Clickhouse): Promise<void> {
  const hidden = await filteredTables(clickhouse)
  if (hidden.length === 0) return
  throw new MillraceError('CLICKHOUSE_UNFIT', {
    what: `a row policy hides rows from this user in ${hidden.join(', ')}: what is folded would miss them`,
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
  // A permissive policy that shows all rows outweighs the other permissive ones of its table.
  const open = new Set(policies.filter(p => p.applies && p.showsAll && !p.isRestrictive).map(({ name }) => name))
  const isOpen = (name: string) => open.has(name) || open.has(everyTable)
  const hidden = policies.filter(p => p.applies && !p.showsAll && (p.isRestrictive || !isOpen(p.name)))
  if (hidden.length > 0) return [...new Set(hidden.map(({ name }) => name))]
  // What a policy for others means for this user is a setting of the server's, which statements cannot read.
  return policies.every(({ name }) => isOpen(name)) ? [] : filteredByPlan(clickhouse)
}

const everyTable = '*'

/** Of tables of this database, or of all of them; undefined when this user may not list policies. */
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
