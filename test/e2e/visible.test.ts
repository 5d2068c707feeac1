// test/e2e/visible.test: after GET /visible, a reader finds the commit in tables and in reports;
// the view `freshness` says up to which LSN each of them is right.

import { findService } from '../../runtime/service-discovery.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { SummedSales } from '../support/oracles/summed-sales.ts'
import type { Pipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('visible', { timeoutMs: 120_000 })
let services: Servers
let pipeline: Pipeline

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
  pipeline = (await SummedSales.start(services)).pipeline
})
test.after(async () => {
  await pipeline?.[Symbol.asyncDispose]()
  await services?.stop()
})

async function ask(parameters: Record<string, string>): Promise<{ status: number; body: Record<string, unknown> }> {
  const { url } = findService(pipeline.directory, pipeline.name, 'consumer')!
  const response = await fetch(`${url}/visible?${new URLSearchParams(parameters)}`)
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

async function commit(sql: string): Promise<string> {
  await pipeline.sql(sql)
  const [row] = await pipeline.sql<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn')
  return row!.lsn
}

const inPostgres = () =>
  pipeline.sql(
    'SELECT (abs(id) % 2)::text AS parity, trim_scale(sum(amount))::text AS amount FROM sales GROUP BY 1 ORDER BY 1',
  )
const inReport = () =>
  pipeline.clickhouse(
    'SELECT toString(parity) AS parity, toString(amount) AS amount FROM sums.by_parity ORDER BY parity',
  )
const inTable = () =>
  pipeline.clickhouse(
    'SELECT toString(abs(id) % 2) AS parity, toString(sum(amount)) AS amount FROM public.sales GROUP BY 1 ORDER BY 1',
  )

test('a commit that is visible is in the report and in the table', async () => {
  for (let round = 1; round <= 15; round++) {
    const lsn = await commit(`UPDATE sales SET amount = amount + ${round} WHERE id % ${1 + (round % 4)} = 0`)
    for (const [name, read] of [
      ['sums.by_parity', inReport],
      ['public.sales', inTable],
    ] as const) {
      const { status, body } = await ask({ lsn, name, wait: '20000' })
      assert.equal([status, body.visible], [200, true], JSON.stringify(body))
      assert.equal(await read(), await inPostgres(), `${name} in round ${round}`)
    }
    const { body } = await ask({ lsn, wait: '20000' })
    assert.is(body.visible, true)
  }
})

test('what no producer has sent is not visible, and the wait ends', async () => {
  const started = performance.now()
  const { body } = await ask({ lsn: 'FFFF/0', wait: '300', name: 'sums.by_parity' })
  assert.is(body.visible, false)
  assert.ok(performance.now() - started >= 300)
  for (const [parameters, status] of [
    [{ lsn: 'yesterday' }, 400],
    [{ lsn: '0/1', wait: '-1' }, 400],
    [{ lsn: '0/1', name: 'sums.nothing' }, 404],
  ] as const)
    assert.is((await ask(parameters)).status, status, JSON.stringify(parameters))
})

test('the view freshness is in each database of the model, and names each table and report', async () => {
  const lsn = await commit('UPDATE sales SET amount = amount + 1')
  await ask({ lsn, wait: '20000' })
  const [high, low] = lsn.split('/').map(part => Number.parseInt(part, 16))
  const rows = await pipeline.clickhouse<{ name: string; kind: string; reached: number }>(
    `SELECT name, kind, toUInt8(lsn >= ${high! * 2 ** 32 + low!}) AS reached FROM sums.freshness ORDER BY name`,
  )
  assert.equal(rows, [
    { name: 'public.sales', kind: 'table', reached: 1 },
    { name: 'sums.by_parity', kind: 'report', reached: 1 },
  ])
})

test.run()
