// test/e2e/accounts.test: the consumer with a ClickHouse user whose rights do not suffice.

import { assert, suite } from '../support/harness/suite.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('accounts of ClickHouse', { timeoutMs: 240_000 })
let services: Services

const user = (profile: string) =>
  `<password>x</password><networks><ip>127.0.0.1</ip></networks><profile>${profile}</profile><quota>default</quota>`
const users = `<clickhouse>
  <profiles>
    <one><readonly>1</readonly></one><two><readonly>2</readonly></two>
    <fixed><final>1</final><constraints><final><readonly/></final></constraints></fixed>
  </profiles>
  <users>
    <reader>${user('one')}</reader>
    <looker>${user('two')}</looker>
    <final>${user('fixed')}</final>
  </users>
</clickhouse>`

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'], { 'clickhouse.users.d/test.xml': users })
})
test.after(() => services?.stop())

const setup = Array.from(
  { length: 6 },
  (
    _,
    index,
  ) => `CREATE TABLE public.t${index} (id int PRIMARY KEY, n int); ALTER TABLE public.t${index} REPLICA IDENTITY FULL;
    INSERT INTO public.t${index} SELECT g, g FROM generate_series(1, 10) g;`,
).join('')

const readonly = ['CLICKHOUSE_DENIED', 'READONLY', 'a profile without readonly', 'CREATE DATABASE']

test('a ClickHouse user with too few rights, or a readonly one, ends the consumer, which names the missing rights', async () => {
  await using pipeline = await startPipeline(services, { setup, start: false })
  for (const [name, parts] of [
    ['reader', readonly],
    ['looker', readonly],
    ['final', ['CLICKHOUSE_UNFIT', 'final = 1', 'with final = 0', 'nothing was inserted']],
  ] as const) {
    const clickhouse = { url: services.endpoints.clickhouse, user: name, password: 'x' }
    await pipeline.configure({ tables: { 'public.*': {} }, clickhouse })
    pipeline.start()
    assert.is((await pipeline.consumer.untilEnd()).code, 2, name)
    for (const part of parts)
      assert.ok(pipeline.consumer.log.includes(part), `${name}: ${part}\n${pipeline.consumer.tail()}`)
  }
})

test.run()
