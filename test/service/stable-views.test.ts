// test/service/stable-views.test: objects in ClickHouse that others own are never replaced, dropped
// or inserted into.

import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { claimDatabase, findDatabases, isOfPipeline } from '../../clickhouse/generation-databases.ts'
import { type PublishedView, publish } from '../../clickhouse/publish.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { dropStableViews, findStableViews } from '../../clickhouse/stable-views.ts'
import { type Generation, generationDatabase, generationFormat } from '../../contract/generation.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('stable views')
let services: Servers
let clickhouse: Clickhouse

test.before(async () => {
  services = await shareServers(['clickhouse'])
  clickhouse = connectClickhouse({ url: services.endpoints.clickhouse!, user: 'default', password: '' })
})
test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

const publisher = { pipeline: 'shop', kafkaCluster: 'K1' }
const run = (...statements: string[]) =>
  statements.reduce<Promise<void>>((done, sql) => done.then(() => clickhouse.command(sql)), Promise.resolve())

function generation(number: number, more: Partial<Generation> = {}): Generation {
  const about = { format: generationFormat, number, id: `id${number}`, state: 'live', slot: `shop_${number}` } as const
  const place = { source: '7/x', timeline: 1, kafkaCluster: 'K1', consistentPoint: 1 }
  return { ...about, ...place, maxRecordBytes: 1_000_000, refusalRules: 1, tables: [], ...more }
}

/** A generation's database with tables of one row each, which contains the generation's number. */
async function makeGeneration(number: number, ...tables: string[]): Promise<string> {
  const name = generationDatabase('shop', number)
  await claimDatabase(clickhouse, 'shop', generation(number))
  for (const table of tables) {
    await run(
      `CREATE TABLE IF NOT EXISTS ${name}.${table} (of UInt8 COMMENT 'which') ENGINE = MergeTree ORDER BY of COMMENT 'about ${table}'`,
      `INSERT INTO ${name}.${table} VALUES (${number})`,
    )
  }
  return name
}

const viewsOf = (database: string, ...names: string[]): PublishedView[] =>
  names.map(name => ({ database, name, source: name }))

async function contents(database: string): Promise<string[]> {
  const rows = await clickhouse.rows<{ name: string; engine: string; total_rows: string | null }>(
    'SELECT name, engine, total_rows FROM system.tables WHERE database = {database:String} ORDER BY name',
    { database },
  )
  return rows.map(({ name, engine, total_rows }) => [name, engine, total_rows].filter(Boolean).join(' '))
}

async function shown(path: string): Promise<unknown> {
  const [row] = await clickhouse.rows<Record<string, unknown>>(`SELECT * FROM ${path}`)
  return Object.values(row ?? {})[0]
}

test('all objects with the name of a stable view are named at once, and no view is switched', async () => {
  const first = await makeGeneration(1, 'orders', 'people', 'items', 'notes', 'sums')
  await run(
    'CREATE DATABASE crm',
    'CREATE TABLE crm.orders (id UInt64, note String) ENGINE = MergeTree ORDER BY id',
    "INSERT INTO crm.orders VALUES (1, 'old'), (2, 'old'), (3, 'old')",
    'CREATE VIEW crm.people AS SELECT 1 AS mine',
    `CREATE VIEW crm.notes AS SELECT * FROM ${first}.notes`,
    'CREATE TABLE crm.target (id UInt64) ENGINE = MergeTree ORDER BY id',
    'CREATE MATERIALIZED VIEW crm.sums TO crm.target AS SELECT id FROM crm.orders',
  )
  const before = await contents('crm')
  const views = viewsOf('crm', 'orders', 'people', 'items', 'notes', 'sums')
  const attempt = () => publish(clickhouse, { generation: first, views, publisher })
  const error = await assert.refuses(attempt, 'NAME_TAKEN')
  for (const part of [
    'crm.orders, a table (MergeTree)',
    'crm.people, a view that',
    'crm.notes, a view that',
    'crm.sums, a MaterializedView',
  ])
    assert.ok(error.message.includes(part), `${part} is named in\n${error.message}`)
  assert.equal(await contents('crm'), before)
  assert.is(await shown('crm.people'), 1)

  for (const rename of error.next.split('For example: ')[1]!.split('; ')) await run(rename)
  await attempt()
  assert.is(await shown('crm.orders'), 1)
  assert.equal((await contents('crm')).filter(each => /before/.test(each)).length, 4, 'what was renamed is there')
  assert.ok((await contents('crm')).includes('orders_before MergeTree 3'))
})

test('a database that cannot contain views is named before any object is created', async () => {
  await run('CREATE DATABASE remembered ENGINE = Memory')
  const generation = await makeGeneration(1, 'orders')
  const views = [...viewsOf('fresh', 'orders'), ...viewsOf('remembered', 'orders')]
  const attempt = () => publish(clickhouse, { generation, views, publisher })
  await assert.refuses(attempt, 'NAME_TAKEN', /database remembered, whose engine Memory cannot exchange views/)
  assert.equal(await contents('fresh'), [])
})

test('views of an earlier generation are replaced, with comments, also by several members at once', async () => {
  const first = await makeGeneration(1, 'orders')
  const second = await makeGeneration(2, 'orders')
  const views = viewsOf('sales', 'orders')
  await publish(clickhouse, { generation: first, views, publisher })
  assert.is(await shown('sales.orders'), 1)
  await Promise.all(Array.from({ length: 4 }, () => publish(clickhouse, { generation: second, views, publisher })))
  assert.is(await shown('sales.orders'), 2)
  assert.equal(await contents('sales'), ['orders View'])
  const found = (await findStableViews(clickhouse, publisher)).filter(({ database }) => database === 'sales')
  assert.equal(found, [{ database: 'sales', name: 'orders', shows: second }])
  const [about] = await clickhouse.rows("SELECT comment FROM system.tables WHERE database = 'sales'")
  assert.equal(about, { comment: 'about orders' }, 'people read the comment of the table and nothing else')
  const many = viewsOf('many', 'orders')
  await Promise.all(
    Array.from({ length: 4 }, () => publish(clickhouse, { generation: second, views: many, publisher })),
  )
  assert.equal(await contents('many'), ['orders View'])
})

test('two pipelines with different names or Kafka clusters do not take names from each other', async () => {
  const own = await makeGeneration(1, 'orders')
  const views = viewsOf('both', 'orders')
  await publish(clickhouse, { generation: own, views, publisher })
  for (const other of [
    { ...publisher, pipeline: 'sho' },
    { ...publisher, kafkaCluster: 'K2' },
  ]) {
    const attempt = () => publish(clickhouse, { generation: own, views, publisher: other })
    const whose = /both\.orders, a stable view of another pipeline shop, Kafka cluster K1$/m
    const { next } = await assert.refuses(attempt, 'NAME_TAKEN', whose)
    assert.match(next, 'give one of the two pipelines a ClickHouse of its own')
    assert.not.match(next, 'RENAME', 'which would take the name from the other')
    assert.equal(await findStableViews(clickhouse, other), [])
  }
  await run(
    'CREATE VIEW both.mine AS SELECT * FROM both.orders',
    `CREATE VIEW both.direct AS SELECT * FROM ${own}.orders`,
  )
  const found = (await findStableViews(clickhouse, publisher)).filter(({ database }) => database === 'both')
  await dropStableViews(clickhouse, found)
  assert.equal(await contents('both'), ['direct View', 'mine View'], 'views of analysts stay')
})

test('views of the current generation are left alone, however many; different ones are created again', async () => {
  const names = ['orders', 'odd.name', 'quo`te']
  const first = await makeGeneration(1, ...names.map(name => quoteName(name)))
  const views = viewsOf('kept', ...names)
  const identities = async () => {
    const rows = await clickhouse.rows<{ uuid: string }>(
      "SELECT toString(uuid) AS uuid FROM system.tables WHERE database = 'kept' ORDER BY name",
    )
    return rows.map(({ uuid }) => uuid)
  }
  await publish(clickhouse, { generation: first, views, publisher })
  const before = await identities()
  await publish(clickhouse, { generation: first, views, publisher })
  assert.equal(await identities(), before)
  await run(`ALTER TABLE ${first}.orders MODIFY COMMENT 'it is new', COMMENT COLUMN of 'as well'`)
  await publish(clickhouse, { generation: first, views, publisher })
  const changed = (await identities()).filter((uuid, index) => uuid !== before[index])
  assert.is(changed.length, 1)
  const [column] = await clickhouse.rows(
    "SELECT comment FROM system.columns WHERE database = 'kept' AND table = 'orders'",
  )
  assert.equal(column, { comment: 'as well' })
})

test('a table that is created between the check and the switch keeps its rows and its name', async () => {
  const first = await makeGeneration(1, 'orders')
  const second = await makeGeneration(2, 'orders')
  const views = viewsOf('raced', 'orders')
  await publish(clickhouse, { generation: first, views, publisher })
  /** Replaces the view by a table at the last possible moment. */
  const racing: Clickhouse = {
    ...clickhouse,
    async command(sql, settings) {
      if (sql.startsWith('EXCHANGE') && !raced) {
        raced = true
        await run(
          'DROP VIEW raced.orders SYNC',
          'CREATE TABLE raced.orders (n UInt8) ENGINE = MergeTree ORDER BY n',
          'INSERT INTO raced.orders VALUES (7)',
        )
      }
      await clickhouse.command(sql, settings)
    },
  }
  let raced = false
  await assert.refuses(
    () => publish(racing, { generation: second, views, publisher }),
    'NAME_TAKEN',
    /raced\.orders, a table/,
  )
  assert.equal(await contents('raced'), ['orders MergeTree 1'])
  assert.is(await shown('raced.orders'), 7)
})

test('a table that a killed switch left without its name gets it back', async () => {
  const first = await makeGeneration(1, 'orders')
  const views = viewsOf('killed', 'orders')
  await publish(clickhouse, { generation: first, views, publisher })
  await run(
    'CREATE TABLE killed._tmp_millrace_0123abcd_orders (n UInt8) ENGINE = MergeTree ORDER BY n',
    'INSERT INTO killed._tmp_millrace_0123abcd_orders VALUES (7)',
  )
  await assert.refuses(
    () => publish(clickhouse, { generation: first, views, publisher }),
    'NAME_TAKEN',
    /killed\.orders, a table/,
  )
  assert.equal(await contents('killed'), ['orders MergeTree 1'])
})

test('the consumer does not insert into a database of another generation, pipeline or Kafka, or without an owner', async () => {
  await claimDatabase(clickhouse, 'shop', generation(5))
  await claimDatabase(clickhouse, 'shop', generation(5))
  for (const more of [{ id: 'another' }, { kafkaCluster: 'K2' }, { source: '8/x' }]) {
    const claim = () => claimDatabase(clickhouse, 'shop', generation(5, more))
    const { next } = await assert.refuses(
      claim,
      'GENERATION_UNKNOWN',
      /made by millrace: pipeline shop, generation 5, id id5/,
    )
    assert.match(next, /DROP DATABASE `shop_5`/)
  }
  await run('CREATE DATABASE shop_6')
  const mine = () => claimDatabase(clickhouse, 'shop', generation(6))
  const { next } = await assert.refuses(mine, 'GENERATION_UNKNOWN', /it has no owner mark/)
  await run(/DROP DATABASE `\w+`/.exec(next)![0])
  await mine()
  const found = await findDatabases(clickhouse, 'shop')
  assert.ok(found.some(({ number }) => number === 6))
  assert.ok(found.every(each => isOfPipeline(each, publisher)))
  assert.not.ok(found.some(each => isOfPipeline(each, { ...publisher, kafkaCluster: 'K2' })))
})

test.run()
