// test/long/big.test: large transactions, backlogs and values do not make the services' memory
// grow.

import { assert, suite } from '../support/harness/suite.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const rows = 600_000
const mostMemoryMb = 300
const setup = 'CREATE TABLE public.narrow (id int PRIMARY KEY, n int); ALTER TABLE public.narrow REPLICA IDENTITY FULL'

const test = suite('big', { timeoutMs: 240_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

test(`memory is bounded for a transaction of ${rows} rows`, async () => {
  await using pipeline = await startPipeline(services, { setup })
  await pipeline.sql(`INSERT INTO public.narrow SELECT g, g FROM generate_series(1, ${rows}) g`)
  const { tables } = await pipeline.assertEqual(180_000)
  assert.is(tables['public.narrow']!.clickhouse, rows)
  assertSmall(pipeline)
})

test(`memory is bounded for ${rows} rows that wait while the services are stopped`, async () => {
  await using pipeline = await startPipeline(services, { setup })
  await pipeline.producer.stop()
  await pipeline.consumer.stop()
  await pipeline.sql(`DO $$ BEGIN FOR i IN 1..${rows / 5000} LOOP
    INSERT INTO public.narrow SELECT i * 5000 + g, g FROM generate_series(1, 5000) g; COMMIT; END LOOP; END $$`)
  pipeline.start()
  const { tables } = await pipeline.assertEqual(180_000)
  assert.is(tables['public.narrow']!.clickhouse, rows)
  assertSmall(pipeline)
})

test('a value of 100 MB arrives whole when records may be that large', async () => {
  await using pipeline = await startPipeline(services, {
    settings: { kafka: { maxRecordBytes: 120_000_000 } },
    setup: `CREATE TABLE public.large (id int PRIMARY KEY, data bytea, body text); ALTER TABLE public.large REPLICA IDENTITY FULL`,
  })
  await pipeline.sql(`INSERT INTO public.large VALUES (1, decode(repeat('00ff10a7', 25000000), 'hex'), NULL)`)
  await pipeline.sql(`INSERT INTO public.large VALUES (2, '', repeat('twenty bytes, ü 💥', 1000000))`)
  await pipeline.assertEqual(120_000)
  await pipeline.sql(`UPDATE public.large SET body = body || 'x' WHERE id = 2`)
  await pipeline.sql(`DELETE FROM public.large WHERE id = 1`)
  await pipeline.assertEqual(120_000)
})

function assertSmall({ producer, consumer }: Awaited<ReturnType<typeof startPipeline>>): void {
  for (const worker of [producer, consumer]) {
    const peak = worker.peakMemoryMb()
    console.log(`${worker.name}: ${peak} MB at most`)
    assert.ok(peak > 0 && peak < mostMemoryMb, `the ${worker.name} took ${peak} MB`)
  }
}

test.run()
