// test/long/wide.test: a table with nearly as many columns as Postgres allows is loaded, streamed,
// verified and read, and delays no other table.

import { join } from 'node:path'
import { startCommand } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('wide', { timeoutMs: 400_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const wide = (name: string, columns: number, suffix: string) => `
  DO $$ BEGIN EXECUTE (SELECT 'CREATE TABLE public.${name} (id int PRIMARY KEY, ' || string_agg(format('%I %s', 'attribute_' || lpad(g::text, 4, '0') || '${suffix}',
    (ARRAY['text','int','numeric(18,4)','timestamptz'])[1 + g % 4]), ', ') || ')' FROM generate_series(1, ${columns}) g); END $$;
  ALTER TABLE public.${name} REPLICA IDENTITY FULL;
  INSERT INTO public.${name} (id) SELECT generate_series(1, 50);`

async function follow(columns: number, suffix: string): Promise<void> {
  const small = `CREATE TABLE public.small (id int PRIMARY KEY); ALTER TABLE public.small REPLICA IDENTITY FULL; INSERT INTO public.small VALUES (1);`
  await using pipeline = await startPipeline(services, {
    setup: wide('wide', columns, suffix) + small,
    tables: { 'public.wide': { history: true }, 'public.small': {} },
    start: false,
  })
  pipeline.start()
  await pipeline.settle(120_000)
  await pipeline.sql(`UPDATE wide SET attribute_0004${suffix} = 'x', attribute_0997${suffix} = 7 WHERE id <= 10;
      DELETE FROM wide WHERE id = 50; INSERT INTO small VALUES (2)`)
  await pipeline.assertEqual(120_000)
  const [row] = await pipeline.clickhouse(
    `SELECT count() AS n, countIf(attribute_0004${suffix} = 'x') AS x, sum(attribute_0997${suffix}) AS sevens, (SELECT count() FROM \`public.small\`) AS small FROM \`public.wide\``,
  )
  assert.equal(row, { n: '49', x: '10', sevens: '70', small: '2' })

  await services.kill('clickhouse')
  await services.restart()
  await pipeline.sql(`UPDATE wide SET attribute_0001${suffix} = 1 WHERE id = 1`)
  await pipeline.assertEqual(120_000)
  const args = ['--config', join(pipeline.directory, 'millrace.yaml'), '--data', pipeline.directory]
  const exported = await startCommand(['export', 'public.wide', ...args]).ended
  assert.is(exported.code, 0, exported.stderr)
  assert.is(exported.stdout.trim().split('\n').length, 50)
}

test('a table of 1,000 columns with a history works beside a small table', () => follow(1_000, '_value_text'))

test('a table of 1,500 columns with longer names works beside a small table', () => follow(1_500, '_of_the_customer_x'))

test.run()
