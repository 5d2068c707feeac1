// test/long/quota.test: a ClickHouse quota that is smaller than the statements of preparation and
// recovery: all rows arrive, and count once.

import { assert, suite } from '../support/harness/suite.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('quota of ClickHouse', { timeoutMs: 600_000 })
let services: Services

const quotas = `<clickhouse>
  <quotas><small><interval><duration>10</duration><queries>30</queries></interval></small></quotas>
  <users><capped><password>x</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>small</quota></capped></users>
</clickhouse>`

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'], { 'clickhouse.users.d/quota.xml': quotas })
})
test.after(() => services?.stop())

const names = Array.from({ length: 6 }, (_, index) => `t${index}`)
const setup = names
  .map(
    name => `CREATE TABLE public.${name} (id int PRIMARY KEY, n int); ALTER TABLE public.${name} REPLICA IDENTITY FULL;
    INSERT INTO public.${name} SELECT g, g FROM generate_series(1, 10) g;`,
  )
  .join('')

test('a quota of thirty statements in ten seconds suffices for six tables, also after a kill inside a batch', async () => {
  await using pipeline = await startPipeline(services, { setup, start: false })
  const clickhouse = { url: services.endpoints.clickhouse, user: 'capped', password: 'x' }
  await pipeline.configure({ tables: { 'public.*': {} }, clickhouse })
  pipeline.start()
  await pipeline.settle(180_000)
  for (const end of ['kill', 'stop'] as const) {
    for (let time = 0; time < 10; time++)
      await pipeline.sql(names.map(name => `UPDATE ${name} SET n = n + 1 WHERE id <= ${time}`).join(';'))
    await pipeline.consumer[end]()
    pipeline.consumer.start()
    await pipeline.settle(180_000)
  }
  await pipeline.assertEqual(180_000)
  assert.match(pipeline.consumer.log, /waits for the next interval of a quota/)
  for (const name of names) {
    const [row] = await pipeline.clickhouse<{ rows: string; different: string }>(
      `SELECT count() AS rows, uniqExact(_partition, _offset, _sign) AS different FROM \`public.${name}.changelog\``,
    )
    assert.is(row!.rows, row!.different, name)
  }
})

test.run()
