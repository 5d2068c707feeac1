// test/long/outage: Kafka and ClickHouse are away for a while. The services outlast it without a
// restart.

import { setTimeout as pause } from 'node:timers/promises'
import { assert, suite, until } from '../support/harness/suite.ts'
import { printed } from '../support/pipelines/commands.ts'
import { askHealth } from '../support/pipelines/health.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { keepWriting } from '../support/pipelines/writer.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('long outage', { timeoutMs: 600_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const awayMs = 30_000
const setup = `CREATE TABLE public.counted (id int PRIMARY KEY, n int); ALTER TABLE public.counted REPLICA IDENTITY FULL;
  INSERT INTO public.counted SELECT g, g FROM generate_series(1, 100) g`

test('`millrace start` continues by itself after Kafka and then ClickHouse were away for 30 s', async () => {
  await using pipeline = await startPipeline(services, { setup, start: false })
  await using service = pipeline.worker('start', 'start')
  service.start()
  await pipeline.settle()
  const writer = await keepWriting(pipeline, {
    statement: count => `UPDATE counted SET n = n + 1 WHERE id = ${1 + (count % 100)}`,
    pauseMs: 100,
  })
  for (const component of ['kafka', 'clickhouse'] as const) {
    await services.kill(component)
    await pause(awayMs)
    assert.is(service.end, undefined, `${component} is away:\n${service.tail()}`)
    await services.restart()
    await pipeline.settle()
    await pause(3_000)
  }
  assert.ok((await writer.stop()) > 300)
  await pipeline.assertEqual()
  assert.is(service.end, undefined, service.tail())
  await service.stop()
  assert.equal(service.end, { code: 0, signal: null }, service.tail())
})

test('consumers outlast an outage of Kafka, and a takeover while ClickHouse is away', async () => {
  await using pipeline = await startPipeline(services, { setup, settings: { source: { heartbeatSeconds: 1 } } })
  const ready = (status: number) => async () => (await askHealth(pipeline, 'consumer', 'readyz')).status === status
  await until(ready(200), { what: 'changes flow' })
  await using second = pipeline.member()
  second.start()
  await pipeline.until(() => /partitions assigned.*members=2/.test(second.log), { what: 'the second has joined' })

  await services.kill('kafka')
  await pipeline.sql('UPDATE counted SET n = n + 1')
  // By then the consumers have checked several times for another generation.
  await until(ready(503), { what: 'changes do not flow', timeoutMs: 30_000 })
  assert.is((await askHealth(pipeline, 'consumer', 'livez')).status, 200)
  await services.restart()
  await pipeline.assertEqual()
  for (const { log } of [pipeline.consumer, second])
    assert.is(log.match(/ consuming /g)?.length, 1, 'nothing is torn down')

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
