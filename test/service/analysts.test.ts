// test/service/analysts.test: BI tools with the roles that they get: rights, limits, guides,
// dashboards.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClickHouseSettings } from '@clickhouse/client'
import { parse } from 'yaml'
import { quotePath } from '../../clickhouse/quote.ts'
import { type Role, roleStatements, rolesFile } from '../../modeling/roles.ts'
import { expandGrafana, fillVariable, guideQueries, readDashboard } from '../support/fixtures/bi-queries.ts'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { dbtFiles } from '../support/pipelines/dbt.ts'
import { type SalesWarehouse, startSalesWarehouse } from '../support/pipelines/sales-warehouse.ts'

const test = suite('analysts', { timeoutMs: 120_000 })

let warehouse: SalesWarehouse

test.before(async () => {
  warehouse = await startSalesWarehouse()
})
test.after(() => warehouse?.stop())

test('each role reads every view of its databases, with comments, and sees no others', async () => {
  const { roles, model, as } = warehouse
  assert.equal(
    roles.map(({ name }) => name),
    ['millrace_dashboard', 'millrace_analyst', 'millrace_engineer'],
  )
  for (const { name, reads } of roles) {
    for (const view of model.publish) {
      const select = () => as(name).rows(`SELECT * FROM ${quotePath(view.database, view.name)} LIMIT 1`)
      if (reads.includes(view.database)) assert.is((await select()).length, 1, `${name}: ${view.name}`)
      else await assert.refuses(select, 'CLICKHOUSE_DENIED', /Not enough privileges/)
    }
    const databases = await as(name).rows<{ name: string }>('SELECT name FROM system.databases ORDER BY name')
    assert.equal(
      databases.map(each => each.name).filter(each => !/^(system|information_schema)$/i.test(each)),
      [...reads].sort(),
    )
    const [bare] = await as(name).rows(
      "SELECT database, table, name FROM system.columns WHERE comment = '' AND database NOT IN ('system', 'raw') AND lower(database) != 'information_schema' LIMIT 1",
    )
    assert.is(bare, undefined)
  }
})

test('the dbt project has the sources and exposures of the model', async () => {
  const files = await dbtFiles(warehouse)
  assert.is(files.size, 4)
  for (const [path, text] of files)
    assert.ok(readFileSync(join(projectRoot, 'dbt', path), 'utf8') === text, `dbt/${path} is out of date: npm run docs`)
})

test('no role reads past the views, writes, or reaches out of ClickHouse', async () => {
  const { roles, generation, as } = warehouse
  const refused = [
    `SELECT * FROM ${generation}.sales_cube`,
    `SELECT * FROM ${generation}.daily_sales_stats`,
    `INSERT INTO ${generation}.sales_cube (grain) VALUES ('day')`,
    `TRUNCATE TABLE ${generation}.sales_cube`,
    'ALTER TABLE analytics.daily_sales_stats DELETE WHERE 1',
    'CREATE OR REPLACE VIEW analytics.daily_sales_stats AS SELECT 1',
    'CREATE VIEW analytics.mine AS SELECT 1',
    'CREATE TABLE default.mine (a Int8) ENGINE = Memory',
    'DROP VIEW analytics.daily_sales_stats',
    'DROP DATABASE analytics',
    'CREATE USER mallory',
    'GRANT SELECT ON *.* TO millrace_dashboard',
    'SYSTEM SHUTDOWN',
    "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
    "SELECT * FROM file('passwords.csv', CSV, 'a String')",
    `SELECT * FROM remote('127.0.0.1', ${generation}, sales_cube)`,
    "INSERT INTO FUNCTION file('out.csv', CSV, 'a Int8') SELECT 1",
  ]
  for (const { name } of roles)
    for (const statement of refused)
      await assert.refuses(() => as(name).command(statement), 'CLICKHOUSE_DENIED', /privileges|ACCESS|readonly/)
})

test('no role lifts its limits; a query that is too large fails instead of being cut off', async () => {
  for (const { name, seconds, memoryMb, resultRows } of warehouse.roles) {
    const client = warehouse.as(name)
    const lifted = {
      max_execution_time: seconds + 1,
      max_memory_usage: String((memoryMb + 1) * 1024 ** 2),
      max_result_rows: String(resultRows + 1),
      readonly: '0',
    }
    for (const [setting, value] of Object.entries(lifted))
      await assert.rejects(() => client.rows('SELECT 1', {}, { [setting]: value }), /SETTING_CONSTRAINT|READONLY/)
  }
  const [{ name, resultRows }] = warehouse.roles as [Role]
  await assert.rejects(() => warehouse.as(name).rows(`SELECT number FROM numbers(${resultRows + 1})`), /max rows/)
})

/**
 * Settings that tools send for each query or session, by their documentation. Each of them would
 * fail with readonly = 1.
 */
const toolSettings = {
  // clickhouse-go under Grafana's plug-in. Its default timeout is 60 s.
  grafana: { max_execution_time: 65 },
  // The Java drivers under Metabase and DBeaver.
  metabase: { max_result_rows: '2000', result_overflow_mode: 'break' },
  dbeaver: { max_result_rows: '200', result_overflow_mode: 'break', date_time_input_format: 'best_effort' },
  superset: { wait_end_of_query: 1, send_progress_in_http_headers: 1 },
  powerbi: { max_execution_time: 60, join_use_nulls: 1 },
} as const

test('ClickHouse accepts the settings that tools send', async () => {
  for (const [tool, settings] of Object.entries(toolSettings)) {
    for (const { name } of warehouse.roles) {
      const rows = await warehouse.as(name).rows('SELECT date FROM analytics.daily_sales_stats LIMIT 1', {}, settings)
      assert.is(rows.length, 1, `${tool} as ${name}`)
    }
  }
})

test('a view returns the same rows under any session settings of a tool', async () => {
  const hostile = {
    join_use_nulls: 1,
    transform_null_in: 1,
    group_by_use_nulls: 1,
    cast_keep_nullable: 1,
    aggregate_functions_null_for_empty: 1,
    prefer_column_name_to_alias: 1,
  } as const
  for (const { database, name } of warehouse.model.publish) {
    const hash = async (settings: ClickHouseSettings) =>
      JSON.stringify(
        await warehouse
          .as('millrace_engineer')
          .rows(
            `SELECT sum(cityHash64(*)) AS hash FROM (SELECT * ${database === 'analytics' ? `EXCEPT '^as_of$'` : ''} FROM ${quotePath(database, name)})`,
            {},
            settings,
          ),
      )
    // Ages of open orders grow between reads, so a read with the settings counts between two plain
    // reads that agree.
    let [before, between, after] = [await hash({}), await hash(hostile), await hash({})]
    while (before !== after) [before, between, after] = [after, await hash(hostile), await hash({})]
    assert.is(between, before, `${database}.${name}`)
  }
})

test('ClickHouse parses the statements that create the roles; it only lacks a place to store them here', async () => {
  for (const statement of warehouse.roles.flatMap(roleStatements))
    await assert.refuses(() => warehouse.admin.command(statement), 'CLICKHOUSE_FAILED', /ACCESS_STORAGE/)
})

test('every statement of the guides runs with the role of its tool, and returns rows', async () => {
  const [territory] = await warehouse.admin.rows<{ country: string }>('SELECT country FROM analytics.sales_by_region')
  const queries = guideQueries(territory!.country).filter(({ as }) => as !== 'dbt')
  assert.ok(queries.length > 20)
  for (const { where, as, sql } of queries) {
    if (as === 'admin') {
      for (const statement of sql.split(/;\n/))
        await assert.refuses(() => warehouse.admin.command(statement), 'CLICKHOUSE_FAILED', /ACCESS_STORAGE/)
      continue
    }
    const rows = await warehouse
      .as(`millrace_${as}`)
      .rows(sql)
      .catch(cause => {
        throw new Error(`${where}: ${cause.message}\n${sql}`, { cause })
      })
    assert.ok(rows.length > 0, `${where} shows nothing:\n${sql}`)
  }
})

test("Grafana's user reads every panel of the dashboard: times first where it draws time, and shown in every step", async () => {
  const grafana = warehouse.as('grafana')
  const { panels, templating } = readDashboard()
  const to = new Date()
  const from = new Date(to.getTime() - 365 * 86_400_000)
  assert.ok(panels.length > 8)
  const variables = new Map<string, string[]>()
  for (const { name, query } of templating.list)
    variables.set(
      name,
      (await grafana.rows<{ country: string }>(query)).map(row => Object.values(row)[0]!),
    )
  for (const { title, description, datasource, targets } of panels) {
    assert.ok(description, title)
    assert.equal(datasource, { type: 'grafana-clickhouse-datasource', uid: 'millrace' })
    for (const { rawSql, queryType } of targets) {
      const filled = [...variables].reduce((sql, [name, values]) => fillVariable(sql, name, values), rawSql)
      const sql = expandGrafana(filled, { from, to, intervalSeconds: 86_400 })
      assert.not.match(sql, /\$/, title)
      const rows = await grafana.rows<Record<string, string>>(sql, {}, { max_execution_time: 65 })
      assert.ok(rows.length > 0, `${title} shows nothing:\n${sql}`)
      if (queryType === 'timeseries')
        assert.match(Object.entries(rows[0]!)[0]!.join(' '), /^time \d{4}-\d\d-\d\d \d\d:/)
    }
  }
})

test('the provisioned data source fits the roles that `millrace roles --xml` prints', () => {
  const read = (path: string) => readFileSync(join(projectRoot, 'grafana', path), 'utf8')
  assert.is(read('clickhouse/roles.xml'), rolesFile(warehouse.roles), 'run: npm run docs')
  const { datasources } = parse(read('provisioning/datasources/clickhouse.yaml')) as {
    datasources: { uid: string; type: string }[]
  }
  assert.equal(
    datasources.map(({ uid, type }) => ({ type, uid })),
    [readDashboard().panels[0]!.datasource],
  )
})

test.run()
