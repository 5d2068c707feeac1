// test/service/existing-publication: somebody else's publication is verified, by a role that may
// not alter it.

import { readFacts, readMoment } from '../../postgres/catalog/facts.ts'
import { type Client, connect, disconnect } from '../../postgres/client/client.ts'
import { quoteName } from '../../postgres/client/quote.ts'
import type { Check } from '../../postgres/preflight/check.ts'
import { applyFixes, preflight } from '../../postgres/preflight/preflight.ts'
import { chooseTables } from '../../producer/capture/table-choice.ts'
import { compareFacts } from '../../producer/catalog/compare.ts'
import { recordCatalog } from '../../producer/catalog/recording.ts'
import { isHarmless, unreadable } from '../../producer/catalog/unclear-changes.ts'
import { configSchema } from '../../runtime/config/schema.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createDatabase, type TestDatabase, uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('existing publication')
let services: Servers
let db: TestDatabase
/** The address of a role that may only replicate and read. */
let reader: Client
let role: string

test.before(async () => {
  services = await shareServers(['postgres'])
})
test.before.each(async () => {
  db = await createDatabase(services.endpoints.postgres!)
  role = uniqueName('reader')
  await db.sql(
    `${setup}; CREATE ROLE ${role} LOGIN REPLICATION; GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`,
  )
  const url = new URL(db.url)
  url.username = role
  reader = await connect(url.href)
})
test.after.each(async () => {
  await disconnect(reader)
  await db.sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  await db.drop()
})
test.after(() => services.stop())

const names = ['a', 'b "x"', 'c', 'd', 'r', 'r0', 'r1']
const setup = `
CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE "b ""x""" (LIKE a INCLUDING ALL);
CREATE TABLE c (LIKE a INCLUDING ALL); CREATE TABLE d (LIKE a INCLUDING ALL);
CREATE TABLE r (LIKE a INCLUDING ALL) PARTITION BY RANGE (id);
CREATE TABLE r0 PARTITION OF r FOR VALUES FROM (0) TO (10); CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (10) TO (20);
${names.map(name => `ALTER TABLE ${quoteName(name)} REPLICA IDENTITY FULL`).join('; ')}`
const whole = `publish_via_partition_root = true, publish_generated_columns = stored`

/** All checks that did not pass, by name. */
async function faults(publication: string, tables: Record<string, object> = { 'public.*': {} }): Promise<Check[]> {
  const { tables: chosen } = await chooseTables(reader, configSchema.parse({ tables }))
  const context = { client: reader, tables: chosen, leftOut: [], slot: 'no_slot', publication }
  const checks = await preflight(context)
  return checks.filter(({ state, name }) => state !== 'pass' && name !== 'partitions')
}

/**
 * Findings about the publication alone. A superuser, and only a superuser, can repair them with the
 * named statements.
 */
async function assertMended(publication: string, tables?: Record<string, object>): Promise<string> {
  const [check, ...others] = await faults(publication, tables)
  assert.equal([check!.name, check!.state, others], ['publication', 'fail', []])
  assert.equal(await applyFixes(reader, [check!]), { done: [], failed: [] })
  await db.sql(/ run (.*)$/.exec(check!.fix!)![1]!)
  assert.equal(await faults(publication, tables), [])
  return check!.found
}

test('all faults of the publication are named at once, with statements that repair all of them', async () => {
  await db.sql(
    `CREATE PUBLICATION "my ""p""" FOR TABLE a, "b ""x""" WHERE (id > 0), c (id, v), r0 WITH (publish = 'insert, delete')`,
  )
  const found = await assertMended('my "p"')
  for (const part of [
    'it lacks update, truncate, publish_via_partition_root, publish_generated_columns',
    String.raw`public."b \"x\"": it has a row filter`,
    'public.c: it has a column list',
    'public.d: it is not in the publication',
    'public.r: it is not in the publication',
  ])
    assert.ok(found.includes(part), `${part} is named in\n${found}`)
  assert.not.match(found, /public\.a:|public\.r0/)
})

test('a missing publication is named with the statement that creates it, and its name is taken literally', async () => {
  assert.match(await assertMended('To "millrace"'), 'there is no publication To "millrace"')
  assert.match((await faults('to "millrace"'))[0]!.found, 'there is no publication to "millrace"')
})

test('a publication of all tables or of schemas passes, and tables that are not captured do not matter', async () => {
  await db.sql(`CREATE PUBLICATION everything FOR ALL TABLES WITH (${whole})`)
  await db.sql(`CREATE PUBLICATION schemas FOR TABLES IN SCHEMA public, TABLE ONLY a WITH (${whole})`)
  for (const publication of ['everything', 'schemas']) {
    assert.equal(await faults(publication), [])
    assert.equal(await faults(publication, { 'public.d': {} }), [])
  }
  await db.sql('CREATE SCHEMA other; ALTER TABLE c SET SCHEMA other; ALTER TABLE a SET SCHEMA other')
  await db.sql(`GRANT USAGE ON SCHEMA other TO ${role}`)
  assert.match(await assertMended('schemas', { '*.*': {} }), /^schemas: other\.c: it is not in the publication[^:]*$/)
})

test('a partition that is captured alone must not be published under the name of its root', async () => {
  const alone = { 'public.r0': {} }
  for (const [name, tables] of [
    ['listed', 'FOR TABLE r'],
    ['beside', 'FOR TABLE r, r0'],
    ['schemas', 'FOR TABLES IN SCHEMA public, TABLE r'],
    ['everything', 'FOR ALL TABLES'],
  ] as const) {
    await db.sql(`CREATE PUBLICATION ${name} ${tables} WITH (${whole})`)
    assert.match(await assertMended(name, alone), /public\.r0: .*public\.r is in the publication too/)
  }
})

test('the replica identity of a table of somebody else is asked for, and not altered', async () => {
  await db.sql(
    `CREATE TABLE own (id int PRIMARY KEY); ALTER TABLE own OWNER TO ${role}; ALTER TABLE d REPLICA IDENTITY DEFAULT`,
  )
  await db.sql(`CREATE PUBLICATION everything FOR ALL TABLES WITH (${whole})`)
  const [identity, ...others] = await faults('everything')
  assert.equal([identity!.name, identity!.found, others], ['replica identity', 'public.d, public.own', []])
  const own = 'ALTER TABLE "public"."own" REPLICA IDENTITY FULL'
  assert.equal(await applyFixes(reader, [identity!]), { done: [own], failed: [] })
  await db.sql(/ an owner run (.*)$/.exec(identity!.fix!)![1]!)
  assert.equal(await faults('everything'), [])
})

test('missing rights of a role are named, with statements that grant them', async () => {
  await db.sql(`CREATE PUBLICATION everything FOR ALL TABLES WITH (${whole}); ALTER ROLE ${role} NOREPLICATION;
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM ${role}; REVOKE USAGE ON SCHEMA public FROM PUBLIC`)
  const lacking = await faults('everything')
  const found = ['role may replicate', 'right to read', 'right to read partitions']
  assert.equal(
    lacking.map(({ name }) => name),
    found,
  )
  for (const { fix } of lacking) await db.sql(/ run (.*)$/.exec(fix!)![1]!)
  assert.equal(await faults('everything'), [])
})

test('a partition that the role may not read is named with the GRANT that allows it, and passes after it', async () => {
  await db.sql(`CREATE PUBLICATION everything FOR ALL TABLES WITH (${whole})`)
  const { tables: sources } = await chooseTables(reader, configSchema.parse({ tables: { 'public.r': {} } }))
  const catalog = await recordCatalog(reader, { publication: 'everything', sources })
  const { facts: was, seen } = catalog.tables[0]!
  await db.sql('CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (20) TO (30); ALTER TABLE r2 REPLICA IDENTITY FULL')
  const { version, publication } = await readMoment(reader, 'everything')
  const oid = sources[0]!.oid
  const is = (await readFacts(reader, [oid], { version, publication: publication!.oid })).get(oid)
  const { differences, unclear: doubts } = compareFacts(was, is, { dropped: new Set(), personal: false, version })
  assert.equal([differences, doubts.map(({ kind }) => kind)], [[], ['attached']])
  assert.is(await isHarmless(reader, doubts[0]!, seen), 'unreadable')
  const { what } = await unreadable(reader, doubts[0]!)
  assert.match(what, /the partition public\.r2 was attached with rows .* may not read public\.r2/)
  await db.sql(/start again: (.*)$/.exec(what)![1]!)
  assert.is(await isHarmless(reader, doubts[0]!, seen), true)
})

test.run()
