// test/service/history.test: versions of rows from a changelog that is written in any order and
// repeatedly.
// The expected result is replayed here, change by change.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { changelogName, tableStatements } from '../../clickhouse/ddl.ts'
import { historyName, prepareHistory, versionsName } from '../../clickhouse/history.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import type { Table } from '../../contract/table.ts'
import { Random } from '../../generator/shop/random.ts'
import { testSeed } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const seed = testSeed()
const firstSecond = 1_700_000_000

const table: Table = {
  schema: 'a.b',
  name: 'item',
  columns: [
    { name: 'region', pgType: 'text', encoding: 'string', nullable: false, comment: "The item's region" },
    { name: 'n', pgType: 'integer', encoding: 'int', nullable: false },
    { name: 'state', pgType: 'text', encoding: 'string', nullable: true },
  ],
  key: ['region', 'n'],
  partitionKey: ['n'],
}

interface Event {
  readonly region: string
  readonly n: number
  /** The row after the change; undefined when the key is deleted. */
  readonly state: string | null | undefined
  readonly lsn: number
  readonly ordinal: number
  /** µs since 1970; 0 for a row of the initial load. */
  readonly at: number
}

interface Version {
  readonly key: string
  readonly state: string | null
  readonly start: number
  readonly end: number
  readonly insert_id: string
}

const forEver = Date.UTC(2199, 11, 31) * 1000
const lsnText = (lsn: number) =>
  `${Math.floor(lsn / 2 ** 32).toString(16)}/${(lsn % 2 ** 32).toString(16)}`.toUpperCase()
const keyOf = ({ region, n }: { region: string; n: number }) => `${region}|${n}`

/**
 * Transactions of up to six changes on few keys. Commit times mostly grow, but sometimes repeat or
 * decrease.
 */
function randomEvents(random: Random): Event[] {
  const keys = ["o'k", 'a', 'ü'].flatMap(region => [1, 2].map(n => ({ region, n })))
  const events: Event[] = keys.slice(0, 4).map((key, ordinal) => ({ ...key, state: 'first', lsn: 99, ordinal, at: 0 }))
  let seconds = firstSecond
  for (let transaction = 1; transaction <= 120; transaction++) {
    seconds += random.pick([0, 1, 1, 1, 5, 60, -2])
    for (let count = random.integer(1, 6), ordinal = 0; ordinal < count; ordinal++) {
      const state = random.chance(0.25) ? undefined : random.chance(0.1) ? null : `${transaction}.${ordinal}`
      const lsn = 2 ** 32 - 30 + transaction * 7
      events.push({ ...random.pick(keys), state, lsn, ordinal: 2 * ordinal, at: seconds * 1_000_000 })
    }
  }
  return events
}

/**
 * The expected versions by replaying each key: the last change up to an instant is valid at that
 * instant.
 */
function replay(events: readonly Event[]): Version[] {
  const versions: Version[] = []
  for (const key of new Set(events.map(keyOf))) {
    const own = events.filter(event => keyOf(event) === key)
    let latest = 0
    const said = new Map<number, Event>()
    for (const event of own) {
      latest = Math.max(latest, event.at)
      said.set(latest, event)
    }
    const instants = [...said.keys()]
    for (const [index, start] of instants.entries()) {
      const { state, lsn } = said.get(start)!
      if (state === undefined) continue
      const end = instants[index + 1] ?? forEver
      versions.push({ key, state, start, end, insert_id: lsnText(lsn) })
    }
  }
  return versions.sort(byKeyAndStart)
}

function byKeyAndStart(a: Version, b: Version): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : a.start - b.start
}

let services: Servers
let clickhouse: Clickhouse

async function insert(events: readonly Event[]): Promise<void> {
  const rows = events.map(({ region, n, state, lsn, ordinal, at }) => ({
    ...{ region, n, state: state ?? null, _sign: state === undefined ? -1 : 1, _lsn: lsn, _ordinal: ordinal },
    _op: at === 0 ? 'r' : state === undefined ? 'd' : 'u',
    _version: String(BigInt(lsn) * 2n ** 64n + BigInt(ordinal)),
    _commit_time: new Date(at / 1000).toISOString().replace('T', ' ').replace('Z', ''),
  }))
  await clickhouse.insert(
    `INSERT INTO ${quoteName(changelogName(table))} FORMAT JSONEachRow`,
    [Buffer.from(rows.map(row => JSON.stringify(row)).join('\n'))],
    {},
  )
}

async function readHistory(): Promise<Version[]> {
  const rows = await clickhouse.rows<{
    key: string
    state: string | null
    start: string
    end: string
    insert_id: string
  }>(
    `SELECT concat(region, '|', toString(n)) AS key, state, toUnixTimestamp64Micro(start_date) AS start,
  toUnixTimestamp64Micro(end_date) AS end, insert_id FROM ${quoteName(historyName(table))}`,
  )
  return rows.map(row => ({ ...row, start: Number(row.start), end: Number(row.end) })).sort(byKeyAndStart)
}

const test = suite('history', { timeoutMs: 60_000 })

test.before(async () => {
  services = await shareServers(['clickhouse'])
  clickhouse = await createWarehouse(services, uniqueName('history'))
})

test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

test.before.each(async () => {
  for (const sql of tableStatements(table)) await clickhouse.command(sql)
  await prepareHistory(clickhouse, table, { wanted: true, exists: false })
})

test.after.each(async () => {
  await prepareHistory(clickhouse, table, { wanted: false, exists: true })
  for (const { name } of await clickhouse.rows<{ name: string }>('SHOW TABLES')) {
    await clickhouse.command(`DROP TABLE ${quoteName(name)} SYNC`)
  }
})

for (let round = 1; round <= 3; round++) {
  test(`late and repeated changes give the same history as a replay (${round})`, async () => {
    const random = new Random(seed, `history ${round}`)
    const events = randomEvents(random)
    const expected = replay(events)
    const shuffled = events.map(event => ({ event, place: random.fraction() })).sort((a, b) => a.place - b.place)
    const late = shuffled.map(({ event }) => event)
    for (let from = 0; from < late.length; from += 50) await insert(late.slice(Math.max(0, from - 20), from + 50))
    assert.equal(await readHistory(), expected)
    await clickhouse.command(`OPTIMIZE TABLE ${quoteName(versionsName(table))} FINAL`)
    assert.equal(await readHistory(), expected)
  })
}

test('a version has the changes that opened and closed it, its origin, and a unique key', async () => {
  const events = randomEvents(new Random(seed, 'columns'))
  await insert(events)
  const [found] = await clickhouse.rows<Record<string, string>>(
    `SELECT count() AS versions, uniqExact(version_key) AS keys, countIf(is_current) AS current,
  countIf(is_current != (end_date = '2199-12-31')) AS odd, countIf(is_current != (update_id IS NULL)) AS open,
  countIf((source_id_audit = 'snapshot') != (start_date = '1970-01-01')) AS sources
FROM ${quoteName(historyName(table))}`,
  )
  const last = new Map(events.map(event => [keyOf(event), event.state]))
  const live = [...last.values()].filter(state => state !== undefined).length
  assert.is(found!.keys, found!.versions)
  assert.equal([found!.current, found!.odd, found!.open, found!.sources].map(Number), [live, 0, 0, 0])
})

test('a history that is enabled later has all earlier changes; a disabled one is dropped', async () => {
  const events = randomEvents(new Random(seed, 'later'))
  await prepareHistory(clickhouse, table, { wanted: false, exists: true })
  await insert(events.slice(0, 200))
  const tables = await clickhouse.rows<{ name: string }>('SHOW TABLES')
  assert.equal(
    tables.filter(({ name }) => /versions|history/.test(name)),
    [],
  )
  await prepareHistory(clickhouse, table, { wanted: true, exists: false })
  await insert(events.slice(200))
  assert.equal(await readHistory(), replay(events))
})

test('every column has a comment, the one of Postgres if there is one, and a type that every tool reads', async () => {
  const columns = await clickhouse.rows<{ name: string; type: string; comment: string }>(
    `SELECT name, type, comment FROM system.columns WHERE database = currentDatabase() AND table = {table:String}`,
    { table: historyName(table) },
  )
  assert.is(columns.find(({ name }) => name === 'region')!.comment, "The item's region")
  for (const { name, type, comment } of columns.slice(table.columns.length)) {
    assert.ok(comment, name)
    assert.match(type, /^(String|Nullable\(String\)|Bool|DateTime64\(6, 'UTC'\))$/, name)
  }
})

test('a query for one key reads only the granules of that key', async () => {
  await insert(randomEvents(new Random(seed, 'one key')))
  const plan = await clickhouse.rows<{ explain: string }>(
    `EXPLAIN indexes = 1 SELECT * FROM ${quoteName(historyName(table))} WHERE region = 'a' AND n = 1`,
  )
  assert.match(plan.map(row => row.explain).join('\n'), /PrimaryKey[\s\S]*region[\s\S]*Condition/)
})

test.run()
