// test/service/checks.test: the checks of the sales reports return in Postgres what was computed by
// hand.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { applySchema } from '../../generator/database/schema.ts'
import { timeZones } from '../../runtime/config/time-zones.ts'
import { packagePath } from '../../runtime/files.ts'
import { loadChecks, type ReportCheck, withPolicies } from '../../verify/checks.ts'
import { compareReport } from '../../verify/reports.ts'
import { exampleMoment, exampleShop, exampleTimeZone } from '../support/fixtures/sales-example.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { exampleReports } from '../support/oracles/sales-example-reports.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { createDatabase, type TestDatabase, uniqueName } from '../support/servers/postgres.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

const directory = packagePath('model/sales')
const names = readdirSync(join(directory, 'checks')).map(file => file.replace('.sql', ''))
const publish = names.map(name => ({ database: 'analytics', name, source: name }))
const checks = withPolicies(loadChecks({ directory, publish }, exampleTimeZone), [])

let services: Servers
let database: TestDatabase
let clickhouse: Clickhouse

const test = suite('checks of the sales reports')

test.before(async () => {
  services = await shareServers(['postgres', 'clickhouse'])
  database = await createDatabase(services.endpoints.postgres!)
  clickhouse = await createWarehouse(services, warehouse)
  await applySchema(database.url, quietLog())
})
test.after(async () => {
  await clickhouse?.close()
  await database?.drop()
  await services?.stop()
})

/** Columns in their order, and the rows as lines of text. */
async function compute({ sql }: ReportCheck): Promise<{ columns: string[]; lines: string[] }> {
  const types = { getTypeParser: () => (text: string) => text } as pg.CustomTypesConfig
  const text = sql.replaceAll('{as_of}', `timestamptz '${exampleMoment}'`)
  const { rows, fields } = await database.client.query<Record<string, string | null>>({ text, types })
  const columns = fields.map(({ name }) => name)
  const numeric = new Set(fields.filter(({ dataTypeID }) => dataTypeID === pg.types.builtins.NUMERIC).map(f => f.name))
  const cell = (name: string, value: string | null) =>
    value === null ? '-' : numeric.has(name) ? String(Number(value)) : value.replaceAll(' ', '_')
  const shown = columns.filter(name => name !== 'as_of')
  return { columns: shown, lines: rows.map(row => shown.map(name => cell(name, row[name]!)).join(' ')).sort() }
}

test('without a single order every report is empty, except for regions without sales', async () => {
  for (const check of checks) assert.equal((await compute(check)).lines, [], check.name)
})

test('Postgres and ClickHouse split days alike in every time zone that a configuration may name', async () => {
  const known = await database.sql<{ name: string }>('SELECT name FROM pg_timezone_names')
  const alsoKnown = await clickhouse.rows<{ name: string }>('SELECT time_zone AS name FROM system.time_zones')
  const inBoth = alsoKnown.map(({ name }) => name).filter(name => known.some(each => each.name === name))
  const from = '2020-01-01 00:30:00'
  // Nine days and seven hours apart, and on both sides of midnight at each clock change in Berlin.
  const moments = [...Array(250).keys()].map(step => Date.parse(`${from}Z`) / 1000 + step * 220 * 3600)
  const changes = ['2025-03-29 22:59:59', '2025-03-29 23:00:00', '2025-03-30 21:59:59', '2025-03-30 22:00:00']
  changes.push('2025-10-25 21:59:59', '2025-10-25 22:00:00', '2025-10-26 22:59:59', '2025-10-26 23:00:00')
  moments.push(...changes.map(text => Date.parse(`${text}Z`) / 1000))
  const inPostgres = await database.sql<{ zone: string; days: string }>(
    `SELECT zone, string_agg((to_timestamp(moment) AT TIME ZONE zone)::text, ',' ORDER BY place) AS days
     FROM unnest($1::text[]) zone, unnest($2::int8[]) WITH ORDINALITY AS m (moment, place) GROUP BY zone`,
    [inBoth, moments],
  )
  const inClickhouse = await clickhouse.rows<{ zone: string; days: string }>(
    `SELECT zone, arrayStringConcat(arrayMap(moment -> toString(toDateTime(moment, 'UTC'), zone), {moments:Array(UInt32)}), ',') AS days
     FROM (SELECT arrayJoin({zones:Array(String)}) AS zone)`,
    { zones: inBoth, moments },
    { allow_nonconst_timezone_arguments: 1 },
  )
  const days = new Map(inClickhouse.map(row => [row.zone, row.days]))
  const alike = inPostgres.filter(row => row.days === days.get(row.zone)).map(({ zone }) => zone)
  assert.equal(alike.filter(zone => zone !== 'Factory').sort(), [...timeZones].sort())
  assert.equal(inBoth.filter(zone => !alike.includes(zone)).sort(), ['CET', 'EET', 'MET', 'WET'])
})

test('the example has expected rows for every check', () => {
  assert.equal(Object.keys(exampleReports).sort(), [...names].sort())
})

test('the shop contains the example', async () => {
  await database.sql(exampleShop)
})

for (const check of checks) {
  test(`the check ${check.name} returns the rows that were computed by hand`, async () => {
    const [header, ...rows] = exampleReports[check.name]!.trim().split(/\n */)
    const { columns, lines } = await compute(check)
    assert.is(columns.join(' '), header)
    assert.equal(lines, rows.sort())
    assert.ok(
      check.key.every(name => columns.includes(name)),
      `key ${check.key}`,
    )
  })
}

const warehouse = uniqueName('checks')
const check = (sql: string): ReportCheck => ({ name: 'shown', database: warehouse, key: ['kind', 'day'], sql })

/** Rows that ClickHouse shows and rows that Postgres computes, as `kind, day, amount, at`. */
async function compare(shown: string, sql: string) {
  await clickhouse.command(`CREATE OR REPLACE VIEW shown AS ${shown}`)
  const { rows, differing } = await compareReport({ postgres: database.client, clickhouse, check: check(sql) })
  return { rows, differing: [...differing.values()] }
}

test('equal values in the types of either side are equal', async () => {
  const shown = `SELECT 'a' AS kind, toDate('2025-03-30') AS day, toDecimal64('7.50', 2) AS amount, toUInt64(9007199254740993) AS big, true AS good,
    CAST(NULL, 'Nullable(String)') AS none, toDateTime64('2025-03-30 03:30:00.25', 6, 'Europe/Berlin') AS at`
  const sql = `SELECT 'a' AS kind, date '2025-03-30' AS day, 7.5000 AS amount, 9007199254740993::numeric AS big, true AS good, NULL AS none,
    timestamptz '2025-03-30 01:30:00.250+00' AS at`
  assert.equal(await compare(shown, sql), { rows: 1, differing: [] })
})

test('missing, unexpected, different and double rows are named by key and column; NULL differs from text', async () => {
  const values = (rows: string) => `SELECT * FROM (VALUES ${rows}) AS t (kind, day, amount)`
  const shown = `SELECT * FROM VALUES('kind Nullable(String), day Date, amount Decimal(15, 2)', ('NULL', '2025-01-01', '1'),
    ('b', '2025-01-01', '2.01'), ('c', '2025-01-02', '3'), ('c', '2025-01-02', '3'))`
  const sql = values("(NULL, date '2025-01-01', 1), ('b', '2025-01-01', 2), ('c', '2025-01-02', 3)")
  assert.equal(await compare(shown, sql), {
    rows: 3,
    differing: [
      { key: 'NULL, 2025-01-01', state: 'missing' },
      { key: "'b', 2025-01-01", state: 'different', columns: { amount: ['2', '2.01'] } },
      { key: "'c', 2025-01-02", state: 'repeated' },
      { key: "'NULL', 2025-01-01", state: 'unexpected' },
    ],
  })
})

test('a column that only one side has is a difference', async () => {
  const { differing } = await compare(
    `SELECT 'a' AS kind, 1 AS day, 2 AS amount`,
    `SELECT 'a' AS kind, 1 AS day, 2 AS sum`,
  )
  assert.equal(differing, [
    { key: "'a', 1", state: 'different', columns: { sum: ['2', 'no such column'], amount: ['no such column', "'2'"] } },
  ])
})

test('the check computes the moment of the rows that the view shows; without rows, now', async () => {
  const sql = `SELECT 'a' AS kind, ({as_of} AT TIME ZONE 'Asia/Tokyo')::date AS day, {as_of} AS as_of`
  const shown = `SELECT 'a' AS kind, toDate('2025-05-02') AS day, toDateTime('2025-05-01 15:00:00', 'UTC') AS as_of`
  assert.equal(await compare(shown, sql), { rows: 1, differing: [] })
  const recent = `SELECT 'a' AS kind, 1 AS day WHERE {as_of} BETWEEN now() - interval '1 hour' AND now() + interval '1 hour'`
  assert.equal(await compare(`SELECT 'a' AS kind, 1 AS day, now() AS as_of WHERE false`, recent), {
    rows: 1,
    differing: [{ key: "'a', 1", state: 'missing' }],
  })
})

test('a check that Postgres refuses is named', async () => {
  await assert.refuses(() => compare('SELECT 1 AS kind', 'SELECT nothing FROM nowhere'), 'POSTGRES_FAILED', /nowhere/)
})

test.run()
