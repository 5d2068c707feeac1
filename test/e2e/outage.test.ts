// test/e2e/outage: Kafka and ClickHouse are away for a while, and the consumers, which nobody starts again, are there afterwards.

import { askHealth } from '../support/health.ts'
import { printed } from '../support/millrace.ts'
import { startPipeline } from '../support/pipeline.ts'
import { type Services, startServices } from '../support/services.ts'
import { assert, suite, until } from '../support/suite.ts'

const test = suite('outage', { timeoutMs: 180_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const setup = `CREATE TABLE public.counted (id int PRIMARY KEY, n int); ALTER TABLE public.counted REPLICA IDENTITY FULL;
  INSERT INTO public.counted SELECT g, g FROM generate_series(1, 100) g`

test('consumers outlast Kafka, and then ClickHouse with a takeover while it is away', async () => {
  await using pipeline = await startPipeline(services, { setup, settings: { source: { heartbeatSeconds: 1 } } })
  const ready = (status: number) => async () => (await askHealth(pipeline, 'consumer', 'readyz')).status === status
  await until(ready(200), { what: 'changes flow' })
  await using second = pipeline.member()
  second.start()
  await pipeline.until(() => /partitions assigned.*members=2/.test(second.log), { what: 'the second has joined' })

  await services.kill('kafka')
  await pipeline.sql('UPDATE counted SET n = n + 1')
  // By then they have looked several times whether there is another generation.
  await until(ready(503), { what: 'changes do not flow', timeoutMs: 30_000 })
  assert.is((await askHealth(pipeline, 'consumer', 'livez')).status, 200)
  await services.restart()
  await pipeline.assertEqual()
  for (const { log } of [pipeline.consumer, second])
    assert.is(log.match(/ folding /g)?.length, 1, 'nothing is torn down')

  await services.kill('clickhouse')
  await pipeline.sql('UPDATE counted SET n = n + 1')
  await second.stop()
  assert.equal(second.end, { code: 0, signal: null }, second.tail())
  const { consumer } = pipeline
  const asked = /could not take over partitions, trying again/
  await until(() => consumer.end !== undefined || asked.test(consumer.log), { what: 'the one that stays takes over' })
  assert.is(consumer.end, undefined, consumer.tail())
  const failing = /^failing, (?:.*\n)+error {5}CLICKHOUSE_UNREACHABLE: .* \(consumer, \d{4}-/
  assert.match(await printed(pipeline, 'status'), failing)
  await services.restart()
  await pipeline.assertEqual()
  await until(async () => /^healthy, /.test(await printed(pipeline, 'status')), { what: 'nothing fails any more' })
})

test.run()
