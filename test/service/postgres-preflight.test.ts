// test/service/postgres-preflight: preflight names everything that prevents capture, and repairs
// what SQL can.

import { readTables } from '../../postgres/catalog/catalog.ts'
import { connect, disconnect, query } from '../../postgres/client/client.ts'
import { quoteName } from '../../postgres/client/quote.ts'
import type { Check } from '../../postgres/preflight/check.ts'
import { applyFixes, preflight, preflightResume } from '../../postgres/preflight/preflight.ts'
import { checkReplication } from '../../postgres/preflight/server-checks.ts'
import { identify } from '../../postgres/replication/history.ts'
import { createPublication, dropPublication, findPublications } from '../../postgres/replication/publication.ts'
import { dropSlot, findSlots } from '../../postgres/replication/slot.ts'
import { refusePassing } from '../../producer/capture/source.ts'
import { chooseTables } from '../../producer/capture/table-choice.ts'
import { configSchema } from '../../runtime/config/schema.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { createDatabase, type TestDatabase, uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('postgres preflight')
let services: Servers
let db: TestDatabase

test.before(async () => {
  services = await shareServers(['postgres'])
})
test.before.each(async () => {
  db = await createDatabase(services.endpoints.postgres!)
})
test.after.each(() => db.drop())
test.after(() => services.stop())

async function check(client = db.client): Promise<Record<string, Check>> {
  const tables = await readTables(db.client, ({ schema }) => schema === 'public')
  const checks = await preflight({ client, tables, leftOut: [], slot: 'no_slot', publication: undefined })
  return Object.fromEntries(checks.map(each => [each.name, each]))
}

function statesOf(checks: Record<string, Check>, ...states: string[]): string[] {
  return Object.values(checks).flatMap(({ name, state }) => (states.includes(state) ? [name] : []))
}

test('a source that is ready passes every check', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY, v text)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
  const checks = await check()
  assert.equal(statesOf(checks, 'warn', 'fail', 'unknown'), [])
  assert.match(checks['server version']!.found, /^18\./)
})

test('a live generation retries while all WAL senders are in use', async () => {
  const [setting] = await db.sql<{ max_wal_senders: string }>('SHOW max_wal_senders')
  const limit = Number(setting!.max_wal_senders)
  const senders = await Promise.all(Array.from({ length: limit }, () => connect(db.url, { mode: 'replication' })))
  assert.ok(statesOf(await check(), 'fail').includes('WAL senders left'))
  const resume = async () => refusePassing(await preflightResume(db.client, 'no_slot'))
  const full = new RegExp(`WAL senders left: ${limit} of ${limit} in use`)
  assert.ok((await assert.refuses(resume, 'POSTGRES_BUSY', full)).retriable)
  for (const sender of senders) await disconnect(sender)
  await until(async () => !statesOf(await check(), 'fail').includes('WAL senders left'), { what: 'they are free' })
  await resume()
})

test('a new generation needs three replication slots, two of them only until it is loaded', async () => {
  const [{ left } = { left: 0 }] = await db.sql<{ left: number }>(
    `SELECT current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots)::int AS left`,
  )
  const make = 'SELECT slot_name FROM generate_series(1, $1) n, pg_create_physical_replication_slot($2 || n)'
  const prefix = uniqueName('others_')
  await query(db.client, make, [left - 3, prefix])
  assert.not.ok(statesOf(await check(), 'fail').includes('replication slots left'))
  await query(db.client, make, [1, `${prefix}_`])
  const checks = await check()
  assert.equal(statesOf(checks, 'fail').includes('replication slots left'), true)
  assert.match(checks['replication slots left']!.fix!, /raise max_replication_slots/)
  await query(
    db.client,
    'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE starts_with(slot_name, $1)',
    [prefix],
  )
})

test('tables that cannot be captured are each named with what to do', async () => {
  await db.sql('CREATE TABLE keyless (id int)')
  await db.sql('CREATE UNLOGGED TABLE quick (id int PRIMARY KEY)')
  await db.sql('CREATE TABLE odd (id int PRIMARY KEY, stats pg_ndistinct)')
  await db.sql('CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)')
  await db.sql('CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10)')
  const checks = await check()
  assert.equal(statesOf(checks, 'fail'), ['kinds of table', 'primary keys', 'replica identity', 'column types'])
  assert.equal(statesOf(checks, 'warn'), ['partitions'])
  assert.match(checks['kinds of table']!.found, /public\.quick: it is unlogged/)
  assert.is(checks['primary keys']!.found, 'public.keyless')
  assert.match(checks['column types']!.found, /public\.odd\.stats \(pg_ndistinct\)/)
  for (const name of statesOf(checks, 'fail', 'warn')) assert.ok(checks[name]!.fix, `${name} has no remedy`)
})

test('the replica identity is repaired, also of odd names and of partitions', async () => {
  await db.sql(`CREATE TABLE "a""b'; DROP TABLE x" (id int PRIMARY KEY)`)
  await db.sql('CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)')
  await db.sql('CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10)')
  const before = await check()
  assert.is(before['replica identity']!.state, 'fail')
  assert.is((await applyFixes(db.client, Object.values(before))).done.length, 3)
  assert.is((await check())['replica identity']!.state, 'pass')
  assert.equal(await applyFixes(db.client, Object.values(await check())), { done: [], failed: [] })
})

test('a locked table is skipped without waiting, and the others are repaired', async () => {
  await db.sql(
    'CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE keyless (id int)',
  )
  const checks = Object.values(await check())
  const other = await db.connect()
  await other.query('BEGIN; SELECT * FROM a')
  const { done, failed } = await applyFixes(db.client, checks)
  await other.query('ROLLBACK')
  assert.equal(
    done,
    ['b', 'keyless'].map(name => `ALTER TABLE "public"."${name}" REPLICA IDENTITY FULL`),
  )
  assert.equal(
    failed.map(({ statement }) => statement),
    ['ALTER TABLE "public"."a" REPLICA IDENTITY FULL'],
  )
  assert.match(failed[0]!.error.message, /lock timeout/)
  const left = await check()
  assert.equal([left['replica identity']!.found, left['primary keys']!.found], ['public.a', 'public.keyless'])
})

test('a pattern selects only tables that can be captured; a named table that cannot be is an error', async () => {
  await db.sql(`
    CREATE TABLE fine (id int PRIMARY KEY); CREATE TABLE keyless (id int); CREATE UNLOGGED TABLE quick (id int PRIMARY KEY);
    CREATE VIEW a_view AS SELECT 1 AS id; CREATE MATERIALIZED VIEW a_matview AS SELECT 1 AS id;
    CREATE TEMPORARY TABLE brief (id int PRIMARY KEY);
    CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (9);
    CREATE TABLE high PARTITION OF parts FOR VALUES FROM (9) TO (99)`)
  const choose = async (tables: Record<string, object>) => {
    const {
      tables: chosen,
      leftOut,
      noTables,
      misnamed,
    } = await chooseTables(db.client, configSchema.parse({ tables }))
    const reasons = leftOut.map(({ name, reason }) => `${name}: ${reason.slice(0, 22)}`)
    const views = noTables.map(name => name.replace(/pg_temp_\d+/, 'pg_temp'))
    return { chosen: chosen.map(({ name }) => name), reasons, views, misnamed }
  }
  const views = ['pg_temp.brief', 'public.a_matview', 'public.a_view']
  const reasons = ['keyless: it has no primary key,', 'quick: it is unlogged, so tha']
  assert.equal(await choose({ '*.*': {} }), { chosen: ['fine', 'parts'], reasons, views, misnamed: {} })
  const out = { capture: false }
  assert.equal(
    await choose({
      '*.*': {},
      'public.q*': out,
      'public.keyless': out,
      'public.gone': out,
      '*.a_*': out,
      '*.brief': out,
    }),
    { chosen: ['fine', 'parts'], reasons: [], views: [], misnamed: {} },
  )
  assert.equal(await choose({ 'public.keyless': {}, 'public.a_view': {}, 'public.quick': {}, 'public.gone': {} }), {
    ...{ chosen: ['a_view', 'keyless', 'quick'], reasons: [], views: [] },
    misnamed: { 'public.gone': 'there is no such table' },
  })
  assert.equal((await choose({ 'public.*': {}, 'public.parts': out })).chosen, ['fine'])
  assert.equal((await choose({ 'public.*': {}, 'public.parts': out, 'public.low': {} })).chosen, ['fine', 'low'])
  assert.equal((await choose({ 'public.*': {}, 'public.low': out })).misnamed, {
    'public.low': 'it is a partition of public.parts, which is captured with all of them',
  })
})

test('preflight names every missing right of a role', async () => {
  const role = uniqueName('role')
  await db.sql('CREATE TABLE t (id int PRIMARY KEY)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
  await db.sql('ALTER TABLE t ENABLE ROW LEVEL SECURITY')
  await db.sql(`CREATE ROLE ${role} LOGIN`)
  const url = new URL(db.url)
  url.username = role
  const client = await connect(url.href)
  const checks = await check(client)
  await assert.refuses(
    () => createPublication(client, { name: 'p', tables: [{ schema: 'public', name: 't', kind: 'r' }], comment: '' }),
    'POSTGRES_DENIED',
  )
  await client.end()
  await db.sql(`DROP ROLE ${role}`)
  assert.equal(statesOf(checks, 'fail'), [
    'role may replicate',
    'right to read',
    'row level security',
    'right to publish',
  ])
  assert.match(checks['right to read']!.fix!, new RegExp(`GRANT SELECT ON "public"."t" TO "${role}"`))
})

test('a check that cannot run is unknown, and the others still run', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY)')
  await db.sql('ALTER TABLE t REPLICA IDENTITY FULL')
  const client = await connect(db.url)
  await client.end()
  const checks = await check(client)
  assert.is(checks.wal_level!.state, 'unknown')
  assert.match(checks.wal_level!.found, /could not be checked/)
  assert.is(checks['primary keys']!.state, 'pass')
})

test('a slot of the same name in another database is named, and a drop here does not remove it', async () => {
  const other = await createDatabase(services.endpoints.postgres!)
  const slot = uniqueName('slot')
  await other.sql('SELECT pg_create_logical_replication_slot($1, $2)', [slot, 'pgoutput'])
  const checks = await preflight({ client: db.client, tables: [], leftOut: [], slot, publication: undefined })
  const { state, found, fix } = checks.find(({ name }) => name === 'slot')!
  assert.equal([state, found], ['fail', `${slot} is a slot of the database ${other.name}`])
  await dropSlot(db.client, slot)
  assert.is((await findSlots(other.client, slot)).length, 1, 'it is still there')
  await db.sql(/SELECT .*/.exec(fix!)![0])
  assert.equal(await findSlots(other.client, slot), [], 'what the check says removes it')
  await other.drop()
})

test('the publication has exactly the wanted tables, settings and owner mark, and never replaces another one', async () => {
  for (const name of ['a', 'B "x"', 'c']) await db.sql(`CREATE TABLE ${quoteName(name)} (id int PRIMARY KEY, v int)`)
  const name = 'A "p"'
  const tables = (...names: string[]) => names.map(each => ({ schema: 'public', name: each, kind: 'r' }))
  const comment = `O'Hara's \\ and "more"`
  await createPublication(db.client, { name, tables: tables('c', 'a'), comment })
  const published = 'SELECT tablename AS name FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1'
  assert.equal(await db.sql(published, [name]), [{ name: 'a' }, { name: 'c' }])
  assert.equal(await findPublications(db.client, 'A "'), [{ name, comment }])
  const [row] = await query<object>(
    db.client,
    `SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, pubgencols FROM pg_publication`,
  )
  const all = { pubinsert: true, pubupdate: true, pubdelete: true, pubtruncate: true }
  assert.equal(row, { ...all, pubviaroot: true, pubgencols: 's' })
  const again = () => createPublication(db.client, { name, tables: tables('B "x"'), comment: 'mine' })
  await assert.refuses(again, 'POSTGRES_FAILED', /already exists/)
  assert.equal(await findPublications(db.client, 'A "'), [{ name, comment }])
  await dropPublication(db.client, name)
  await dropPublication(db.client, name)
  const nothing = () => createPublication(db.client, { name, tables: [], comment })
  await assert.refuses(nothing, 'CONFIG_INVALID', /there is no table to publish/)
})

test('dropping a publication waits for writers of its tables, and blocks no other session', async () => {
  await db.sql('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)')
  await db.sql('CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9)')
  await db.sql('CREATE TABLE heir () INHERITS (t)')
  const tables = [
    { schema: 'public', name: 't', kind: 'r' },
    { schema: 'public', name: 'parts', kind: 'p' },
  ]
  const count = async (from: string) => (await db.sql<{ n: number }>(`SELECT count(*)::int AS n FROM ${from}`))[0]!.n
  for (const written of ['t', 'part']) {
    await createPublication(db.client, { name: 'p', tables, comment: '' })
    const writer = await db.connect()
    await writer.query(`BEGIN; INSERT INTO ${written} VALUES (1)`)
    const dropped = dropPublication(db.client, 'p')
    await until(async () => (await count('pg_publication_rel')) === 0, { what: 'the tables are out of it' })
    assert.is(await count('pg_publication'), 1)
    await db.sql('INSERT INTO parts VALUES (2)')
    await writer.query('ROLLBACK')
    await dropped
    assert.is(await count('pg_publication'), 0)
    await db.sql('DELETE FROM parts')
  }
})

test('preflight opens a real replication connection, and names the reason of a refusal', async () => {
  const { signal } = new AbortController()
  const role = uniqueName('role')
  await db.sql(`CREATE ROLE ${role} LOGIN`)
  const url = new URL(db.url)
  const own = await checkReplication(url.href, signal)
  assert.equal([own.state, own.found], ['pass', `opened to system/database ${(await identify(url.href)).source}`])
  url.username = role
  const refused = await checkReplication(url.href, signal)
  assert.is(refused.state, 'fail')
  assert.match(refused.found, /replication/i)
  assert.ok(refused.fix)
  await db.sql(`ALTER ROLE ${role} REPLICATION`)
  assert.is((await checkReplication(url.href, signal)).state, 'pass')
  await db.sql(`DROP ROLE ${role}`)
})

test.run()
