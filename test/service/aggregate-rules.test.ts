// test/service/aggregate-rules.test: an aggregate that the engine cannot keep exact is refused,
// with the reason.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { tableStatements } from '../../clickhouse/ddl.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import type { Table } from '../../contract/table.ts'
import { type Aggregate, readAggregates } from '../../modeling/aggregate.ts'
import { checkAggregate } from '../../modeling/check.ts'
import { applyModel } from '../../modeling/model.ts'
import { testSeed } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { foldModel, items, orders } from '../support/pipelines/fold-model.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const seed = testSeed()

let services: Servers
let clickhouse: Clickhouse

const test = suite('rules of an aggregate')

test.before(async () => {
  services = await shareServers(['clickhouse'])
  clickhouse = await createWarehouse(services, uniqueName('rules'))
  for (const table of [orders, items]) for (const sql of tableStatements(table)) await clickhouse.command(sql)
})

test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

type Edit = (text: string) => string

const replace =
  (from: string | RegExp, to: string): Edit =>
  text =>
    text.replace(from, to)

/** Makes the objects of the edited model, and removes them. */
async function withModel<Result>(
  edit: Edit,
  work: (aggregates: readonly Aggregate[]) => Promise<Result>,
  tables: readonly Table[] = [orders, items],
): Promise<Result> {
  const model = foldModel(edit)
  try {
    await applyModel(clickhouse, model)
    return await work(await readAggregates(clickhouse, model, tables))
  } finally {
    for (const name of model.aggregates.keys()) {
      await clickhouse.command(`DROP VIEW IF EXISTS ${quoteName(`${name}.contributions`)}`)
      await clickhouse.command(`DROP TABLE IF EXISTS ${quoteName(name)} SYNC`)
    }
  }
}

const tableEnd = 'ORDER BY (grain, day, territory, product)'

/** What is wrong, the edit that makes it wrong, and what the refusal says. */
const refusals: readonly (readonly [what: string, edit: Edit, says: RegExp, tables?: readonly Table[]])[] = [
  ['a partitioned table', replace(tableEnd, `PARTITION BY day ${tableEnd}`), /has PARTITION BY/],
  ['another engine', replace('SummingMergeTree', 'MergeTree'), /its engine is MergeTree/],
  ['a list of sums', replace('SummingMergeTree', 'SummingMergeTree((orders))'), /names the columns to add up/],
  ['a TTL', replace(tableEnd, `${tableEnd} TTL day + INTERVAL 1 YEAR`), /has a TTL/],
  [
    'an expression in the key',
    replace(tableEnd, `ORDER BY (grain, toMonday(day), territory, product)`),
    /has the expression/,
  ],
  ['a sum of floats', replace('large Int64', 'large Float64'), /large is Float64/],
  ['a narrow sum', replace('large Int64', 'large Int32'), /large is Int32/],
  ['a text outside of the key', replace(tableEnd, 'ORDER BY (day, territory, product)'), /grain is LowCardinality/],
  [
    'a narrower column',
    replace('product Int32,', 'product Int16,'),
    /product is Int16, and its contributions give Int32/,
  ],
  ['a missing column', replace('large Int64', 'large Int64, more Int64'), /its contributions have the columns/],
  [
    'a foreign table',
    replace(
      'FROM `shop.orders.rows` GROUP',
      'FROM (SELECT * FROM `shop.orders.rows` WHERE order_id IN (SELECT order_id FROM `shop.orders.current`)) GROUP',
    ),
    /read shop\.orders\.current/,
  ],
  [
    'a table function',
    replace(
      'FROM `shop.orders.rows` GROUP',
      'FROM (SELECT * FROM `shop.orders.rows` WHERE order_id IN (SELECT number FROM numbers(3))) GROUP',
    ),
    /read numbers/,
  ],
  [
    'a table that is not read',
    replace(
      'statuses: { by: [order_id], of: [shop.orders] }',
      'statuses: { by: [order_id], of: [shop.orders, shop.order_items] }',
    ),
    /do not read shop\.order_items\.rows/,
  ],
  [
    'the clock',
    replace('sum(_sign) AS orders FROM', 'sum(_sign * (now() > toDateTime(0))) AS orders FROM'),
    /call now/,
  ],
  ['no sign', replace('sum(_sign) AS orders FROM', 'count() AS orders FROM'), /do not use _sign/],
  [
    'another column than the key',
    replace(/by: \[order_id\]/g, 'by: [territory]'),
    /has no column territory|cannot be looked up/,
  ],
  [
    'a column that may be null',
    replace('statuses: { by: [order_id]', 'statuses: { by: [seller]'),
    /seller of shop\.orders may be null/,
  ],
  [
    'a key that does not lead',
    text => text,
    /rows of shop\.order_items are sorted by item_id/,
    [orders, { ...items, partitionKey: ['item_id'] }],
  ],
  ['a table that is not captured', text => text, /shop\.order_items is not captured/, [orders]],
]

for (const [what, edit, says, tables] of refusals) {
  test(`refuses ${what}`, async () => {
    const refused = await withModel(edit, async () => undefined, tables).then(
      () => 'accepted',
      error => `${error.code} ${error.message}`,
    )
    assert.match(refused, /^CONFIG_INVALID the aggregate (cells|statuses) cannot be kept exact/)
    assert.match(refused, says)
  })
}

/** A SELECT that is wrong for folds, and the rule that random rows break. */
const brokenRules: readonly (readonly [what: string, edit: Edit, says: RegExp])[] = [
  [
    'a measure without the sign',
    replace('sum(_sign) * cell.6 AS units', 'sum(abs(_sign)) * cell.6 AS units'),
    /difference of both states|contribute nothing/,
  ],
  [
    'a join without the sign',
    replace('USING (order_id, _sign)', 'USING (order_id)'),
    /difference of both states|contribute nothing/,
  ],
]

test('a model that follows the rules passes on random rows', async () => {
  await withModel(
    text => text,
    async aggregates => {
      for (const aggregate of aggregates) await checkAggregate(clickhouse, aggregate, seed)
    },
  )
})

for (const [what, edit, says] of brokenRules) {
  test(`random rows show ${what}`, async () => {
    const error = await withModel(edit, async aggregates =>
      checkAggregate(clickhouse, aggregates.find(({ name }) => name === 'cells')!, seed),
    ).then(
      () => 'passed',
      thrown => `${thrown.message} ${thrown.where}`,
    )
    assert.match(error, /the contributions of the aggregate cells break a rule/)
    assert.ok(says.test(error), error)
    assert.ok(/shop\.(orders|order_items) (before|after): \{/.test(error), error)
  })
}

test('random rows show a condition across keys', async () => {
  const edit = replace(
    'SELECT status, ifNull(seller, -1) AS seller, sum(_sign) AS orders',
    'SELECT status, ifNull(seller, -1) AS seller, sum(_sign) * (count() > 2) AS orders',
  )
  const error = await withModel(edit, async aggregates =>
    checkAggregate(clickhouse, aggregates.find(({ name }) => name === 'statuses')!, seed),
  ).then(
    () => 'passed',
    thrown => `${thrown.message} ${thrown.where}`,
  )
  assert.match(error, /must add up to what both|difference of both states/)
})

test.run()
