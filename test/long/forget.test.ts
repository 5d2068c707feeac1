// test/long/forget: a person is erased although the command was killed, at any step, and called
// again.
// The test also searches the files of Kafka and ClickHouse, beyond the command's own proof.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { searchContents, searchFiles } from '../support/oracles/text-search.ts'
import { listGenerations } from '../support/pipelines/commands.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('forget, cut off', { timeoutMs: 600_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

/**
 * The command's message just before the kill. In the first round it waits for a lock inside its
 * transaction.
 */
const cuts = [
  undefined,
  /erased in Postgres/,
  / loading generation=/,
  / live generation=/,
  /the new generation is visible/,
  /is recorded as dropped/,
  /slot, publication and topics of generation \d+ are gone/,
  /database \w+ is gone/,
]
const people = cuts.map((_, id) => ({ id, name: `Ada${id} Lovelace${id}`, town: `Little Ely ${id}` }))
const setup = `CREATE TABLE public.people (id int PRIMARY KEY, name text, town text); ALTER TABLE public.people REPLICA IDENTITY FULL;
  INSERT INTO public.people VALUES ${people.map(({ id, name, town }) => `(${id}, '${name}', '${town}')`).join(', ')};
  CREATE TABLE public.notes (id int PRIMARY KEY, note text); ALTER TABLE public.notes REPLICA IDENTITY FULL;
  INSERT INTO public.notes SELECT g, 'note ' || g FROM generate_series(1, 20000) g`

/** Starts the command and kills it at this message. */
async function forgetHalf(pipeline: Pipeline, id: number, at: RegExp | undefined): Promise<void> {
  const command = pipeline.worker('producer', 'forget', 'person', String(id))
  if (at !== undefined) {
    command.start()
    await until(() => at.test(command.log), { what: `it says ${at}\n${command.log}`, timeoutMs: 60_000 })
    return command.kill()
  }
  const holder = await pipeline.connect()
  await holder.query(`BEGIN; SELECT FROM public.people WHERE id = ${id} FOR UPDATE`)
  command.start()
  const journal = join(pipeline.directory, 'forget', `${pipeline.name}.person.${id}.json`)
  await until(() => existsSync(journal), { what: 'it has written down whom it forgets' })
  await command.kill()
  await holder.query('ROLLBACK')
}

async function forgetWholly(pipeline: Pipeline, id: number): Promise<void> {
  await using command = pipeline.worker('producer', 'forget', 'person', String(id))
  command.start()
  const { code } = await command.untilEnd(120_000)
  assert.is(code, 0, command.log)
  assert.match(command.log, /nothing found/)
}

test('forget that is killed at any step is finished by a second call while the services run', async () => {
  await using pipeline = await startPipeline(services, {
    setup,
    settings: { model: join(projectRoot, 'test/support/fixtures/forget-model') },
    tables: {
      'public.people': { personal: true, columns: { id: 'keep', name: 'keep', town: 'keep' } },
      'public.notes': {},
    },
  })
  for (const [round, at] of cuts.entries()) {
    const { id, name, town } = people[round]!
    assert.ok((await searchContents(pipeline, [name, town])).length > 0, 'they are downstream')
    await forgetHalf(pipeline, id, at)
    await pipeline.sql('UPDATE public.notes SET note = note || id WHERE id <= 10')
    await pipeline.assertEqual()
    await forgetWholly(pipeline, id)
    await pipeline.assertEqual()
    assert.equal(await searchContents(pipeline, [name, town]), [], `cut at ${at}`)
    const isGone = () => searchFiles(services, [name, town]).length === 0
    await until(isGone, { what: `no file holds anything of them, cut at ${at}`, timeoutMs: 20_000 })
    assert.equal(readdirSync(join(pipeline.directory, 'forget')), [])
    const left = await listGenerations(pipeline)
    assert.match(left.join(), /^\d+ serving slot topics database$/)
    const slots = `SELECT count(*) AS n FROM pg_replication_slots WHERE database = current_database()`
    assert.equal(await pipeline.sql(slots), [{ n: '1' }])
    assert.equal(await pipeline.sql('SELECT count(*) AS n FROM pg_publication'), [{ n: '1' }])
  }
})

test.run()
