// test/long/outage: `millrace start` outlasts Kafka and ClickHouse, each away for half a minute under load.
// Nobody starts its services again.

import { setTimeout as pause } from 'node:timers/promises'
import { startPipeline } from '../support/pipeline.ts'
import { type Services, startServices } from '../support/services.ts'
import { assert, suite } from '../support/suite.ts'
import { keepWriting } from '../support/writer.ts'

const test = suite('long outage', { timeoutMs: 600_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const awayMs = 30_000
const setup = `CREATE TABLE public.counted (id int PRIMARY KEY, n int); ALTER TABLE public.counted REPLICA IDENTITY FULL;
  INSERT INTO public.counted SELECT g, g FROM generate_series(1, 100) g`

test('Kafka and then ClickHouse are away for 30 s, and `millrace start` goes on by itself', async () => {
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

test.run()
