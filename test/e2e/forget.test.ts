// test/e2e/forget.test: a person is erased, and all remaining data about them is named; generations
// are listed and dropped.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { listGenerations, millrace } from '../support/pipelines/commands.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('forget', { timeoutMs: 120_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

/** Runs a command to its end. */
async function run(pipeline: Pipeline, ...args: string[]): Promise<{ code: number | null; log: string }> {
  await using command = pipeline.worker('producer', ...args)
  command.start()
  const { code } = await command.untilEnd(120_000)
  return { code, log: command.log }
}

test('remaining data about a person is named, and remembered until it is gone', async () => {
  await using pipeline = await startPipeline(services, {
    setup: `CREATE TABLE public.people (id int PRIMARY KEY, name text, town text); ALTER TABLE public.people REPLICA IDENTITY FULL;
      CREATE TABLE public.notes (id int PRIMARY KEY, note text); ALTER TABLE public.notes REPLICA IDENTITY FULL;
      INSERT INTO public.people VALUES (7, 'Ada Lovelace', 'Ely'); INSERT INTO public.notes VALUES (1, 'about Ada Lovelace')`,
    settings: { model: join(projectRoot, 'test/support/fixtures/forget-model') },
    tables: {
      'public.people': { personal: true, columns: { id: 'keep', name: 'mask', town: 'keep' } },
      'public.notes': {},
    },
  })
  const left = await run(pipeline, 'forget', 'person', '7')
  assert.is(left.code, 1, left.log)
  assert.match(left.log, /FOUND\n {2}public.people.name in p\w+\.2\.public\.notes, 1 times/)
  assert.match(left.log, /public.people.name in p\w+_2.public.notes.current, 1 times/)
  const journal = join(pipeline.directory, 'forget', `${pipeline.name}.person.7.json`)
  assert.ok(existsSync(journal))
  await pipeline.sql('DELETE FROM public.notes')
  await Promise.all([pipeline.producer.stop(), pipeline.consumer.stop()])
  const found = await run(pipeline, 'forget', 'person', '7')
  assert.is(found.code, 0, found.log)
  assert.match(found.log, /generation 3 was loaded without them, dropped: 2/)
  assert.not.ok(existsSync(journal))
})

test('generations are listed and dropped, except the published one', async () => {
  await using pipeline = await startPipeline(services, {
    setup:
      'CREATE TABLE public.t (id int PRIMARY KEY); ALTER TABLE public.t REPLICA IDENTITY FULL; INSERT INTO public.t VALUES (1)',
  })
  assert.equal(await listGenerations(pipeline), ['1 serving slot topics database'])
  await using next = pipeline.worker('producer', 'producer', '--new-generation')
  next.start()
  await until(async () => /^1 live .*,2 serving/.test((await listGenerations(pipeline)).join()), {
    what: 'the second serves',
    timeoutMs: 30_000,
  })
  await next.stop()
  const drop = (number: string) => millrace(pipeline, 'generations', 'drop', number)
  await assert.refuses(() => drop('2'), 'USAGE', /the one that serves/)
  await assert.refuses(() => drop('9'), 'USAGE', /there is no such generation/)
  const database = `${pipeline.name}_1`
  for (const statement of [
    `DROP DATABASE ${database} SYNC`,
    `CREATE DATABASE ${database} COMMENT 'a copy for the auditors'`,
  ])
    await fetch(services.endpoints.clickhouse!, { method: 'POST', body: statement })
  assert.is(await drop('1'), 0)
  const left = await pipeline.clickhouse(`SELECT comment FROM system.databases WHERE name = '${database}'`)
  assert.equal(left, [{ comment: 'a copy for the auditors' }], 'a database that the pipeline has not made stays')
  await assert.refuses(() => drop('1'), 'USAGE', /there is no such generation/)
  assert.equal(await listGenerations(pipeline), ['2 serving slot topics database'])
  await pipeline.sql('INSERT INTO public.t VALUES (2)')
  await pipeline.assertEqual()
  assert.match(pipeline.producer.log, /a newer generation is live and replaces this one.*millrace generations drop 1/)
})

test.run()
