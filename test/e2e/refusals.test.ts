// test/e2e/refusals.test: values that ClickHouse cannot hold become dead letters or stop the
// producer, and no other row is affected.
// Predicates in Postgres decide which rows are valid, not the encoder.

import { createHash } from 'node:crypto'
import { assert, suite } from '../support/harness/suite.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('refusals', { timeoutMs: 180_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

interface Limited {
  readonly table: string
  readonly type: string
  readonly fine: readonly string[]
  readonly refused: readonly string[]
  /** True for the values that ClickHouse can hold. */
  readonly predicate: string
  readonly reason: RegExp
  /** Postgres' text of a refused value, when it differs from the text in the test. */
  readonly printed?: (value: string) => string
}

const instants = ['1900-01-01 00:00:00', '2299-12-31 23:59:59.999999', '2024-06-01 12:00:00', '1970-01-01 00:00:00']
const noInstants = [
  ...['infinity', '-infinity', '1899-12-31 23:59:59.999999', '2300-01-01 00:00:00', '294276-12-31 23:59:59.999999'],
  ...['0044-03-15 12:00:00 BC', '4713-01-01 00:00:00 BC'],
]
const days = ['1900-01-01', '2299-12-31', '2024-02-29', '1970-01-01']
const noDays = ['infinity', '-infinity', '0001-01-01', '1899-12-31', '2300-01-01', '5874897-12-31', '4713-01-01 BC']
const inRange = (from: string, to: string) => `v >= '${from}' AND v < '${to}'`
const temporal = /1900|infinit/

const limited: readonly Limited[] = [
  {
    ...{ table: 'instants', type: 'timestamp', fine: instants, refused: noInstants, reason: temporal },
    predicate: inRange('1900-01-01', '2300-01-01'),
  },
  {
    ...{ table: 'zoned', type: 'timestamptz', fine: instants, refused: noInstants, reason: temporal },
    predicate: inRange('1900-01-01 00:00+00', '2300-01-01 00:00+00'),
    printed: value => value.replace(/\d(?= BC$|$)/, '$&+00'),
  },
  {
    ...{ table: 'days', type: 'date', fine: days, refused: noDays, reason: temporal },
    predicate: inRange('1900-01-01', '2300-01-01'),
  },
  {
    ...{
      table: 'money',
      type: 'numeric(10,2)',
      fine: ['1.25', '-99999999.99', '0', '7'],
      refused: ['NaN'],
      reason: /NaN/,
    },
    predicate: `v <> 'NaN'`,
  },
  {
    ...{ table: 'long', type: 'deep', fine: ['1e-10', '-1', '0', '7'], refused: ['NaN'], reason: /NaN/ },
    predicate: `v <> 'NaN'`,
  },
]

const create = ({ table, type }: Limited) =>
  `CREATE TABLE public.${table} (id int PRIMARY KEY, v ${type}, note text); ALTER TABLE public.${table} REPLICA IDENTITY FULL;`
const setup = `CREATE DOMAIN deep AS numeric(38,10); ${limited.map(create).join(' ')}`
/** Valid values from id 1 on, refused ones from id 101 on. */
const fill = ({ table, fine, refused }: Limited, shift = 0) =>
  [...fine.entries(), ...refused.map((value, index) => [index + 100, value] as const)].map(
    ([index, value]) => `INSERT INTO public.${table} VALUES (${index + 1 + shift}, '${value}', 'note ü ${index}');`,
  )

/**
 * Asserts that ClickHouse holds exactly the valid rows, and that the verification names exactly the
 * others.
 */
async function assertRepresentable(pipeline: Pipeline, step: string): Promise<void> {
  await pipeline.settle()
  const { tables } = await pipeline.verify()
  for (const { table, predicate } of limited) {
    const fine = `v IS NULL OR ${predicate}`
    const expected = await pipeline.sql(`SELECT id, note FROM public.${table} WHERE ${fine} ORDER BY id`)
    const actual = await pipeline.clickhouse(
      `SELECT toString(id) AS id, note FROM \`public.${table}\` ORDER BY \`public.${table}\`.id`,
    )
    assert.equal(actual, expected, `${step}: rows of ${table}`)
    const others = await pipeline.sql(`SELECT id FROM public.${table} WHERE NOT (${fine}) ORDER BY id`)
    const named = tables[`public.${table}`]!.keys
    assert.equal(
      named.map(({ key, state }) => `${key.replace(/^\d+:/, '')} ${state}`).sort(),
      others.map(({ id }) => `${id} missing`).sort(),
      `${step}: what verify says of ${table}`,
    )
  }
}

test('refused rows become dead letters with the whole row; all other rows are exact after every kind of change', async () => {
  await using pipeline = await startPipeline(services, {
    setup: setup + limited.flatMap(each => fill(each)).join(' '),
    tables: { 'public.*': { onError: 'dead-letter' } },
  })
  await assertRepresentable(pipeline, 'initial load')
  await pipeline.sql(limited.flatMap(each => fill(each, 1000)).join(' '))
  await assertRepresentable(pipeline, 'insert')

  const deadLetters = await pipeline.deadLetters()
  for (const { table, refused, reason, printed = (text: string) => text } of limited) {
    for (const [index, value] of refused.entries()) {
      for (const shift of [0, 1000]) {
        const id = String(index + 101 + shift)
        const own = deadLetters.filter(deadLetter => deadLetter.table === table && deadLetter.change?.row.id === id)
        assert.is(own.length, 1, `dead letters about row ${id} of ${table}, ${value}`)
        const { code, what, next, schema, change } = own[0]!
        assert.is(code, 'VALUE_REFUSED')
        assert.is(schema, 'public')
        assert.match(what, /column v holds/)
        assert.match(what, reason)
        assert.match(next, new RegExp(`public.${table}`))
        assert.equal(Object.keys(change!.row), ['id', 'v', 'note'])
        assert.is(change!.row.note, `note ü ${index + 100}`)
        assert.is(change!.row.v, printed(value))
      }
    }
  }

  const swap = ({ table, fine, refused }: Limited) => `
    UPDATE public.${table} SET v = '${refused[0]}', note = 'now refused' WHERE id = 1;
    UPDATE public.${table} SET v = '${fine[1]}', note = 'now fine' WHERE id = 101;
    UPDATE public.${table} SET note = 'still refused' WHERE id > 1100;
    UPDATE public.${table} SET id = 5000, v = '${refused[0]}' WHERE id = 2;`
  await pipeline.sql(limited.map(swap).join(' '))
  await assertRepresentable(pipeline, 'to refused and to fine')
  const back = ({ table, fine, refused }: Limited) => `
    UPDATE public.${table} SET v = '${fine[2]}' WHERE id IN (1, 5000);
    UPDATE public.${table} SET v = '${refused[0]}' WHERE id = 101;
    UPDATE public.${table} SET v = '${refused[0]}' WHERE id = 3; UPDATE public.${table} SET v = '${fine[0]}' WHERE id = 3;
    DELETE FROM public.${table} WHERE id > 1100; DELETE FROM public.${table} WHERE id = 1001;`
  await pipeline.sql(limited.map(back).join(' '))
  await assertRepresentable(pipeline, 'back again')
  await pipeline.sql(limited.map(({ table }) => `UPDATE public.${table} SET v = NULL;`).join(' '))
  await pipeline.assertEqual()
  await pipeline.sql(limited.map(each => `TRUNCATE public.${each.table}; ${fill(each).join(' ')}`).join(' '))
  await assertRepresentable(pipeline, 'truncated and filled')
})

test('a refused row stops the producer by name, nothing is lost, and the producer continues with another policy', async () => {
  await using pipeline = await startPipeline(services, { setup })
  await pipeline.sql(`INSERT INTO public.days VALUES (1, '2024-01-01', 'before')`)
  await pipeline.settle()
  await pipeline.sql(
    `BEGIN; INSERT INTO public.money VALUES (1, 5); INSERT INTO public.days VALUES (7, 'infinity', 'x'); INSERT INTO public.money VALUES (2, 6); COMMIT`,
  )
  await pipeline.sql(`INSERT INTO public.days VALUES (8, '2024-01-08', 'after')`)
  const end = await pipeline.producer.untilEnd()
  assert.is(end.code, 2)
  for (const part of [
    'VALUE_REFUSED',
    'public.days',
    'column v',
    'ClickHouse has no infinite date or time',
    'onError: dead-letter',
    'text: [v]',
  ]) {
    assert.ok(pipeline.producer.log.includes(part), `the message names ${part}:\n${pipeline.producer.tail()}`)
  }
  pipeline.producer.start()
  assert.is((await pipeline.producer.untilEnd()).code, 2, 'a restart stops at the same row')

  await pipeline.configure({ tables: { 'public.*': {}, 'public.days': { onError: 'dead-letter' } } })
  pipeline.producer.start()
  await pipeline.settle()
  const { tables } = await pipeline.verify()
  const differing = Object.entries(tables).flatMap(([name, { keys }]) =>
    keys.map(({ key, state }) => `${name} ${key} ${state}`),
  )
  assert.equal(differing, ['public.days 1:7 missing'])
  assert.is((await pipeline.deadLetters()).length, 1)
})

test('a refused row in the initial load stops it by name; after a repair the load starts again', async () => {
  await using pipeline = await startPipeline(services, {
    setup: `${setup} ${limited.flatMap(each => fill(each)).join(' ')}`,
    start: false,
  })
  pipeline.start()
  assert.is((await pipeline.producer.untilEnd()).code, 2)
  assert.match(pipeline.producer.log, /VALUE_REFUSED/)
  assert.match(pipeline.producer.log, /table public\.\w+, a row of the initial load/)
  await pipeline.configure({ tables: { 'public.*': { text: ['v'] } } })
  pipeline.start()
  await pipeline.assertEqual()
})

test('the same values arrive exactly in columns that are sent as text', async () => {
  await using pipeline = await startPipeline(services, {
    setup: setup + limited.flatMap(each => fill(each)).join(' '),
    tables: { 'public.*': { text: ['v'] } },
  })
  await pipeline.sql(limited.flatMap(each => fill(each, 1000)).join(' '))
  await pipeline.sql(
    limited
      .map(({ table, refused }) => `UPDATE public.${table} SET v = '${refused.at(-1)}' WHERE id % 2 = 0;`)
      .join(' '),
  )
  await pipeline.assertEqual()
  for (const { table } of limited) {
    const expected = await pipeline.sql(`SELECT id, v::text AS v FROM public.${table} ORDER BY id`)
    const actual = await pipeline.clickhouse(
      `SELECT toString(id) AS id, v FROM \`public.${table}\` ORDER BY \`public.${table}\`.id`,
    )
    assert.equal(actual, expected, table)
  }
})

test('a row above the record size limit is refused with its size, or becomes a dead letter without its large values', async () => {
  await using pipeline = await startPipeline(services, {
    settings: { kafka: { maxRecordBytes: 1_000_000 } },
    setup: 'CREATE TABLE public.large (id int PRIMARY KEY, body text); ALTER TABLE public.large REPLICA IDENTITY FULL',
  })
  await pipeline.sql(`INSERT INTO public.large VALUES (1, repeat('x', 900000))`)
  await pipeline.sql(`UPDATE public.large SET body = body || 'y'`)
  await pipeline.assertEqual()
  await pipeline.sql(`INSERT INTO public.large VALUES (2, repeat('x', 2000000))`)
  assert.is((await pipeline.producer.untilEnd()).code, 2)
  for (const part of ['VALUE_REFUSED', 'public.large', '2000', 'kafka.maxRecordBytes']) {
    assert.ok(pipeline.producer.log.includes(part), `the message names ${part}:\n${pipeline.producer.tail()}`)
  }
  await pipeline.configure({ kafka: { maxRecordBytes: 1_000_000 }, tables: { 'public.*': { onError: 'dead-letter' } } })
  pipeline.producer.start()
  await pipeline.sql(`INSERT INTO public.large VALUES (3, 'behind it')`)
  await pipeline.settle()
  const rows = await pipeline.clickhouse('SELECT toString(id) AS id FROM `public.large` ORDER BY `public.large`.id')
  assert.equal(rows, [{ id: '1' }, { id: '3' }])
  const sha256 = createHash('sha256').update('x'.repeat(2_000_000)).digest('hex')
  assert.equal(
    (await pipeline.deadLetters()).map(({ change }) => [change!.row, change!.cut]),
    [[{ id: '2' }, { body: { bytes: 2_000_000, sha256 } }]],
  )
})

test.run()
