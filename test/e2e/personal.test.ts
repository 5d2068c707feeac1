// test/e2e/personal.test: secrets planted in personal columns are nowhere downstream, whatever way
// they come.
// The same search must find all of them in a pipeline that keeps everything.

import { createHmac } from 'node:crypto'
import { assert, suite, until } from '../support/harness/suite.ts'
import { searchContents, searchFiles } from '../support/oracles/text-search.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('personal', { timeoutMs: 120_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const setup = `
CREATE DOMAIN public.address AS varchar(200);
CREATE TABLE public.people (
  id int PRIMARY KEY, name text NOT NULL, email public.address, phone text, born date, papers jsonb, city text NOT NULL,
  seen timestamp);
ALTER TABLE public.people REPLICA IDENTITY FULL;
CREATE TABLE public.plain (id int PRIMARY KEY, note text); ALTER TABLE public.plain REPLICA IDENTITY FULL;
INSERT INTO public.people VALUES (1, 'Ada Loadname', 'load@secret.example', 'phone-load', '1915-12-10', '{"pass": "papers-load"}', 'Berlin', NULL);`

const columns = {
  ...{ id: 'keep', name: 'mask', email: 'hash', phone: 'drop', born: 'hash', papers: 'drop', city: 'keep' },
  seen: 'keep',
}
const personal = { 'public.people': { personal: true, onError: 'dead-letter', columns }, 'public.plain': {} }
const key = 'a key that is long enough to be one'
const settings = { hash: { key, keyId: 'k7' } }

/** Every way in: load, insert, update to and from the value, delete, refused rows, a new column. */
const changes = `
INSERT INTO public.people VALUES (2, 'Grace Insertname', 'insert@secret.example', 'phone-insert', '1906-12-09', NULL, 'Paris', NULL);
INSERT INTO public.people VALUES (3, ' Élise  Unicodename ', NULL, NULL, NULL, '{}', 'Oslo', '2024-01-01 10:00');
UPDATE public.people SET name = 'Grace Updatename', email = 'update@secret.example', phone = 'phone-update', papers = '["papers-update"]' WHERE id = 2;
UPDATE public.people SET id = 20 WHERE id = 2;
INSERT INTO public.people VALUES (4, 'Kurt Refusedname', 'refused@secret.example', 'phone-refused', '1906-04-28', '"papers-refused"', 'Rome', '-infinity');
UPDATE public.people SET name = 'Kurt Againname', seen = '-infinity' WHERE id = 3;
DELETE FROM public.people WHERE id = 1;
ALTER TABLE public.people ADD COLUMN nickname text DEFAULT 'nickname-default';
INSERT INTO public.people VALUES (5, 'Emmy Columnname', 'column@secret.example', 'phone-column', NULL, NULL, 'Bonn', NULL, 'nickname-insert');
UPDATE public.people SET nickname = 'nickname-update' WHERE id = 20;
INSERT INTO public.plain VALUES (1, 'plain goes on');`

const secrets = [
  ...['Loadname', 'Insertname', 'Updatename', 'Unicodename', 'Refusedname', 'Againname', 'Columnname'],
  ...['load', 'insert', 'update', 'refused', 'column'].flatMap(way => [`${way}@secret.example`, `phone-${way}`]),
  ...['papers-load', 'papers-update', 'papers-refused', '1915-12-10'],
  ...['nickname-default', 'nickname-insert', 'nickname-update'],
]

async function run(pipeline: Pipeline, text: string): Promise<void> {
  for (const statement of text.split(';\n')) await pipeline.sql(statement)
}

const hashed = (text: string) => `k7:${createHmac('sha256', key).update(text).digest('hex')}`

/** Differences that the verification finds, except for dead letters. */
async function differences(pipeline: Pipeline): Promise<string[]> {
  await pipeline.settle()
  const { tables } = await pipeline.verify()
  return Object.values(tables)
    .flatMap(({ keys }) => keys.map(({ key, state }) => `${key} ${state}`))
    .sort()
}

test('no secret is in the topics, in ClickHouse, in a dead letter, in a log, or in any of their files', async () => {
  await using pipeline = await startPipeline(services, { setup, tables: personal, settings })
  await run(pipeline, changes)
  assert.equal(await differences(pipeline), ['1:3 missing', '1:4 missing'])
  assert.equal(await searchContents(pipeline, secrets), [])
  assert.equal(searchFiles(services, secrets), [])

  const rows = await pipeline.clickhouse('SELECT * FROM `public.people` ORDER BY id')
  assert.equal(rows, [
    { id: 5, name: 'E*** C***', email: hashed('column@secret.example'), born: null, city: 'Bonn', seen: null },
    {
      ...{ id: 20, name: 'G*** U***', email: hashed('update@secret.example'), born: hashed('1906-12-09') },
      ...{ city: 'Paris', seen: null },
    },
  ])
  const deadLetters = await pipeline.deadLetters()
  assert.equal(deadLetters[0]!.change!.row, {
    ...{ id: '4', name: 'K*** R***', email: hashed('refused@secret.example'), born: hashed('1906-04-28') },
    ...{ city: 'Rome', seen: '-infinity' },
  })
  assert.match(deadLetters[0]!.what, /^column seen holds a value that cannot be represented/)
  assert.match(pipeline.producer.log, /column is withheld.*table=public.people column=nickname.*classify it/)

  await pipeline.producer.stop()
  pipeline.producer.start()
  await pipeline.sql(`UPDATE public.people SET nickname = 'nickname-insert', seen = now() WHERE id IN (3, 4, 20)`)
  assert.equal(await differences(pipeline), [], 'a restart holds the column back again')

  await pipeline.configure({
    tables: {
      ...personal,
      'public.people': { ...personal['public.people'], columns: { ...columns, nickname: 'mask' } },
    },
    ...settings,
  })
  await pipeline.producer.stop()
  pipeline.producer.start()
  await pipeline.producer.untilEnd()
  assert.match(pipeline.producer.log, /GENERATION_CHANGED: column nickname is new/)
  await using next = pipeline.worker('producer', 'producer', '--new-generation')
  next.start()
  await until(async () => (await pipeline.database()).endsWith('_2'), { what: 'the next generation begins' })
})

test('the verification still finds differences in masked and hashed columns', async () => {
  await using pipeline = await startPipeline(services, { setup, tables: personal, settings })
  await pipeline.sql(
    `INSERT INTO public.people SELECT id, 'Ada Lovelace', 'a@b.example', NULL, '1915-12-10', NULL, 'Oslo' FROM generate_series(2, 4) AS id`,
  )
  await pipeline.assertEqual()
  const edits = [`'A*** X***' AS name`, `concat(substring(email, 1, 66), 'x') AS email`, 'NULL AS born']
  for (const [index, edit] of edits.entries()) {
    const row = `SELECT * REPLACE (${edit}) FROM \`public.people.current\` FINAL WHERE id = ${index + 2}`
    await insert(pipeline, `INSERT INTO \`public.people.current\` ${row}`)
  }
  assert.equal(await differences(pipeline), ['1:2 different', '1:3 different', '1:4 different'])
})

test('the same search finds every secret in a pipeline that keeps everything', async () => {
  await using pipeline = await startPipeline(services, {
    setup,
    tables: { 'public.*': { onError: 'dead-letter' } },
  })
  const before = changes.slice(0, changes.indexOf('ALTER TABLE'))
  await run(pipeline, before)
  await pipeline.settle()
  const planted = secrets.filter(secret => (setup + before).includes(secret) && secret !== '1915-12-10')
  assert.is(planted.length, 17)
  const found = await searchContents(pipeline, planted)
  const inTopics = new Set(found.filter(place => place.startsWith('topic')).map(place => place.split(': ')[1]))
  assert.equal(
    planted.filter(secret => !inTopics.has(secret)),
    [],
  )
  const accepted = planted.filter(secret => !/refused|again/i.test(secret))
  const inTables = new Set(found.filter(place => place.startsWith('table')).map(place => place.split(': ')[1]))
  assert.equal(
    accepted.filter(secret => !inTables.has(secret)),
    [],
  )
  const files = searchFiles(services, planted)
  for (const secret of planted)
    assert.ok(
      files.some(place => place.startsWith('file of kafka') && place.endsWith(secret)),
      secret,
    )
  assert.ok(files.some(place => place.startsWith('file of clickhouse')))
})

test('an impossible column policy is refused before any row is sent', async () => {
  const { nickname: _none, ...partly } = { ...columns, nickname: 'drop' }
  await using pipeline = await startPipeline(services, {
    setup: `${setup} ALTER TABLE public.people ADD COLUMN nickname text, ADD COLUMN "odd ""name" text`,
    tables: { 'public.people': { personal: true, columns: partly } },
    start: false,
    settings,
  })
  const refused = async () => {
    pipeline.producer.start()
    assert.is((await pipeline.producer.untilEnd()).code, 2)
    return pipeline.producer.log
  }
  assert.match(await refused(), /public.people: the table is personal, and nobody has classified nickname, odd "name/)
  const wrong = { ...columns, id: 'mask', born: 'mask', nobody: 'drop' }
  await pipeline.configure({ tables: { 'public.people': { columns: wrong } }, ...settings })
  const log = await refused()
  assert.match(log, /its column id cannot be masked, because it identifies rows/)
  assert.match(log, /its column born is date, and only text can be masked/)
  assert.match(log, /columns names nobody, which it does not have/)
})

async function insert(pipeline: Pipeline, text: string): Promise<void> {
  const url = new URL(pipeline.services.endpoints.clickhouse!)
  url.searchParams.set('database', await pipeline.database())
  const response = await fetch(url, { method: 'POST', body: text })
  if (!response.ok) throw new Error(await response.text())
}

test.run()
