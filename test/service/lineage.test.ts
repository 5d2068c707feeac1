// test/service/lineage.test: the source columns of each column of a SELECT, for every shape of
// query.

import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { readLineage } from '../../modeling/lineage.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const cases: readonly (readonly [what: string, select: string, expected: Readonly<Record<string, string>>])[] = [
  ['columns, aliases and calls', 'SELECT x, x + y AS s, upper(t) AS u FROM a', { x: 'a.x', s: 'a.x a.y', u: 'a.t' }],
  [
    'sums, conditions and constants',
    "SELECT sumIf(x, y > 1) AS s, count() AS n, 'k' AS k FROM a",
    { s: 'a.x a.y', n: '', k: '' },
  ],
  ['filters and groups are no values', 'SELECT max(x) AS m FROM a WHERE y > 1 GROUP BY t', { m: 'a.x' }],
  ['subqueries', 'SELECT s * 2 AS d FROM (SELECT x + y AS s FROM a)', { d: 'a.x a.y' }],
  ['common table expressions', 'WITH c AS (SELECT x AS p FROM a) SELECT one.p AS p FROM c AS one', { p: 'a.x' }],
  ['unions, by place', 'SELECT p FROM (SELECT x AS p FROM a UNION ALL SELECT z FROM b)', { p: 'a.x b.z' }],
  ['joins', 'SELECT a.y AS y, b.z AS z FROM a LEFT JOIN b ON a.x = b.x', { y: 'a.y', z: 'b.z' }],
  ['joins by name', 'SELECT x, z FROM a INNER JOIN b USING (x)', { x: 'a.x', z: 'b.z' }],
  ['array join', 'SELECT e FROM a ARRAY JOIN [x, y] AS e', { e: 'a.x a.y' }],
  ['elements of tuples', 'SELECT c.1 AS one, c.2 AS two FROM (SELECT (x, t) AS c FROM a)', { one: 'a.x', two: 'a.t' }],
  [
    'elements of tuples in arrays, through lambdas and aggregates',
    'SELECT cell.1 AS one, cell.2 AS two FROM (SELECT arrayJoin(arrayMap(l -> (l.2, l.1 + x), lines)) AS cell FROM a INNER JOIN (SELECT x, groupArray((z, w)) AS lines FROM b GROUP BY x) AS g USING (x))',
    { one: 'b.w', two: 'a.x b.z' },
  ],
  [
    'a filter of an array passes its elements',
    'SELECT arrayFilter(e -> e.1 > y, [(x, t)])[1].2 AS t FROM a',
    { t: 'a.t' },
  ],
  ['ranks are their order', 'SELECT row_number() OVER (PARTITION BY t ORDER BY y DESC) AS r FROM a', { r: 'a.y' }],
  ['windows keep their argument', 'SELECT leadInFrame(x) OVER (PARTITION BY t ORDER BY y) AS l FROM a', { l: 'a.x' }],
  ['a view is where it ends', 'SELECT v.s AS s FROM v', { s: 'v.s' }],
]

let services: Servers
let clickhouse: Clickhouse
const database = uniqueName('lineage')

const test = suite('lineage')

test.before(async () => {
  services = await shareServers(['clickhouse'])
  const account = { url: services.endpoints.clickhouse!, user: 'default', password: '' }
  const admin = connectClickhouse(account)
  await admin.command(`CREATE DATABASE ${database} ENGINE = Atomic`)
  await admin.close()
  clickhouse = connectClickhouse({ ...account, database })
  await clickhouse.command('CREATE TABLE a (x Int32, y Int32, t String) ENGINE = MergeTree ORDER BY x')
  await clickhouse.command('CREATE TABLE b (x Int32, z Int32, w Int32) ENGINE = MergeTree ORDER BY x')
  await clickhouse.command('CREATE VIEW v AS SELECT x + y AS s FROM a')
})

test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

for (const [what, select, expected] of cases) {
  test(what, async () => {
    const { columns, reads } = await readLineage(clickhouse, select)
    const found = [...columns].map(([name, origins]) => {
      const texts = origins.map(({ table, column }) => `${table.slice(database.length + 1)}.${column}`)
      return [name, texts.sort().join(' ')]
    })
    assert.equal(Object.fromEntries(found), expected)
    const tables = new Set(reads.map(table => table.slice(database.length + 1)))
    for (const origin of Object.values(expected).join(' ').split(' ').filter(Boolean))
      assert.ok(tables.has(origin.split('.')[0]!), `${origin} is read`)
  })
}

test.run()
