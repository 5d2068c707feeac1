// test/long/dbt.test: `dbt build` confirms all tests of the dbt project.
// service/analysts checks that the project is that of the model.

import { cpSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { guideQueries } from '../support/fixtures/bi-queries.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { dbtFiles, dbtProject, installDbt, runDbt } from '../support/pipelines/dbt.ts'
import { dbtPassword, type SalesWarehouse, startSalesWarehouse } from '../support/pipelines/sales-warehouse.ts'

interface Results {
  readonly results: readonly { readonly unique_id: string; readonly status: string; readonly failures: number | null }[]
}

const directory = mkdtempSync(join(tmpdir(), 'dbt-'))

let warehouse: SalesWarehouse

const test = suite('dbt', { timeoutMs: 280_000 })

test.before(async () => {
  warehouse = await startSalesWarehouse({ orders: 400 })
})
test.after(() => warehouse?.stop())

function account() {
  const { hostname, port } = new URL(warehouse.services.endpoints.clickhouse!)
  return {
    CLICKHOUSE_HOST: hostname,
    CLICKHOUSE_PORT: port,
    CLICKHOUSE_USER: 'dbt',
    CLICKHOUSE_PASSWORD: dbtPassword,
  }
}

async function dbt(...args: string[]) {
  const { code, output } = await runDbt(await installDbt(), args, { directory, env: account() })
  const file = join(directory, 'run_results.json')
  assert.ok(existsSync(file), output)
  const { results } = JSON.parse(readFileSync(file, 'utf8')) as Results
  return { code, output, results }
}

test('dbt takes comments as text, whatever characters they contain', async () => {
  const comment = "Hello {{ name }}, {{ env_var('CLICKHOUSE_PASSWORD') }}, {% of all, {# and {{ no more {{{%"
  const project = join(directory, 'copy')
  cpSync(dbtProject, project, { recursive: true })
  for (const [path, text] of await dbtFiles(warehouse, comment)) writeFileSync(join(project, path), text)
  const { code, output } = await runDbt(await installDbt(), ['parse'], { directory, env: account(), project })
  assert.is(code, 0, output)
  const manifest = readFileSync(join(directory, 'manifest.json'), 'utf8')
  const { sources } = JSON.parse(manifest) as {
    sources: Record<string, { description: string; columns: Record<string, { description: string }> }>
  }
  const described = Object.values(sources).flatMap(source => [source, ...Object.values(source.columns)])
  assert.ok(described.length > 100)
  assert.equal([...new Set(described.map(({ description }) => description))], [comment])
  assert.not.match(manifest, new RegExp(`Hello.*${dbtPassword}`))
})

test('dbt build succeeds with the rights that the guide gives: keys, references, values, examples', async () => {
  const { code, output, results } = await dbt('build')
  assert.is(code, 0, output)
  assert.ok(results.length > 100, output)
  assert.equal([...new Set(results.map(({ status }) => status))].sort(), ['no-op', 'pass', 'success'])
  const [comment] = await warehouse.admin.rows<{ comment: string }>(
    "SELECT comment FROM system.columns WHERE database = 'dbt' AND table = 'customer_value' AND name = 'orders'",
  )
  assert.is(comment?.comment, 'Completed orders')
  for (const { sql } of guideQueries('').filter(({ as }) => as === 'dbt'))
    assert.ok((await warehouse.as('dbt').rows(sql)).length > 0)
})

test('dbt build finds data that contradict the project', async () => {
  const { generation, admin } = warehouse
  const replace = (view: string, select: string) =>
    admin.command(`CREATE OR REPLACE VIEW ${view} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS ${select}`)
  await replace('mart.dim_shop', `SELECT * FROM ${generation}.dim_shop WHERE shop_id != 1`)
  await replace(
    'core.shops',
    `SELECT shops.* FROM ${generation}.\`shop.shops\` AS shops CROSS JOIN numbers(2) AS twice`,
  )
  const { code, output, results } = await dbt('test', '--select', 'source:mart.fact_orders', 'source:core.shops')
  assert.is(code, 1, output)
  const failed = results.filter(({ status }) => status === 'fail').map(({ unique_id }) => unique_id.split('.')[2]!)
  for (const name of ['relationships_mart_fact_orders_shop_key', 'unique_core_shops_shop_id'])
    assert.ok(
      failed.some(each => each.includes(name)),
      `${name} is not among ${failed}`,
    )
})

test.run()
