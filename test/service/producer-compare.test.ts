// test/service/producer-compare: the classification of every kind of DDL, from the catalog of a
// real Postgres.

import { readFacts, readMoment } from '../../postgres/catalog/facts.ts'
import { chooseTables } from '../../producer/capture/table-choice.ts'
import type { Catalog } from '../../producer/catalog/catalog.ts'
import { compareFacts } from '../../producer/catalog/compare.ts'
import type { Difference } from '../../producer/catalog/difference.ts'
import { acceptFacts, recordCatalog } from '../../producer/catalog/recording.ts'
import { isHarmless } from '../../producer/catalog/unclear-changes.ts'
import { configSchema } from '../../runtime/config/schema.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createDatabase, type TestDatabase } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('producer compare', { timeoutMs: 120_000 })
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

/** A table with a TOAST table, one without, and a partitioned one, each with rows from before. */
const setup = `
CREATE TYPE mood AS ENUM ('ok', 'bad');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN feeling AS mood;
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL, s text, m feeling[], p pair, w varchar(10), at timestamptz(3));
CREATE TABLE narrow (id int PRIMARY KEY, v int, w varchar(10));
CREATE TABLE r (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE r0 PARTITION OF r FOR VALUES FROM (0) TO (10);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (10) TO (20);
CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (20) TO (30);
ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE narrow REPLICA IDENTITY FULL;
ALTER TABLE r REPLICA IDENTITY FULL; ALTER TABLE r0 REPLICA IDENTITY FULL; ALTER TABLE r1 REPLICA IDENTITY FULL; ALTER TABLE r2 REPLICA IDENTITY FULL;
INSERT INTO t SELECT i, i, 's', '{ok}', '(1,x)', 'w', now() FROM generate_series(1, 100) i;
INSERT INTO narrow SELECT i, i, 'w' FROM generate_series(1, 100) i;
INSERT INTO r VALUES (1, 1), (11, 1);
CREATE PUBLICATION p FOR TABLE ONLY t, ONLY narrow, r WITH (publish_via_partition_root = true, publish_generated_columns = stored)`

async function captured(): Promise<Catalog> {
  const config = configSchema.parse({ tables: { 'public.t': {}, 'public.narrow': {}, 'public.r': {} } })
  const { tables: sources } = await chooseTables(db.client, config)
  return recordCatalog(db.client, { publication: 'p', sources })
}

interface Judged {
  /** `table: effect: what`. */
  readonly found: string[]
  /** The captured catalog with the harmless changes. */
  readonly now: Catalog
}

async function judge({ publication, tables }: Catalog): Promise<Judged> {
  const { version, seen } = await readMoment(db.client, 'p')
  const oids = tables.map(({ source }) => source.oid)
  const facts = await readFacts(db.client, oids, { version, publication: publication.oid })
  const found: string[] = []
  const accepted: Catalog['tables'][number][] = []
  for (const record of tables) {
    const { source, facts: was } = record
    const now = facts.get(source.oid)
    const comparison = compareFacts(was, now, { dropped: new Set(), personal: false, version })
    const differences: Difference[] = [...comparison.differences]
    for (const doubt of comparison.unclear) {
      if ((await isHarmless(db.client, doubt, record.seen)) !== true) differences.push(doubt.otherwise)
    }
    found.push(...new Set(differences.map(({ effect, what }) => `${source.name}: ${effect}: ${what}`)))
    accepted.push(differences.length === 0 ? { ...record, facts: acceptFacts(was, now!), seen } : record)
  }
  return { found, now: { publication, tables: accepted } }
}

/**
 * Each entry is one statement, or several at once, and its expected effect. Every entry runs on the
 * initial state.
 */
async function expectEach(cases: Readonly<Record<string, RegExp | undefined>>): Promise<void> {
  for (const [statements, expected] of Object.entries(cases)) {
    await db.sql('DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP PUBLICATION IF EXISTS p')
    await db.sql(setup)
    await db.sql('SELECT pg_stat_force_next_flush()')
    const catalog = await captured()
    assert.equal((await judge(catalog)).found, [])
    for (const statement of statements.split(/;\s*/).filter(Boolean)) await db.sql(statement)
    const { found } = await judge(catalog)
    if (expected === undefined) assert.equal(found, [], statements)
    else {
      assert.is(found.length, 1, `${statements} → ${JSON.stringify(found, null, 1)}`)
      assert.match(found[0]!, expected)
    }
  }
}

test('DDL that changes neither rows nor their text is harmless', () =>
  expectEach({
    'ANALYZE t; CREATE INDEX ON t (v); GRANT SELECT ON t TO pg_monitor; REINDEX TABLE CONCURRENTLY t': undefined,
    'VACUUM FULL t; VACUUM FULL narrow; VACUUM FULL r': undefined,
    'CLUSTER t USING t_pkey; CLUSTER narrow USING narrow_pkey': undefined,
    'ALTER TABLE t SET (fillfactor = 70), ALTER s SET STORAGE EXTERNAL, ALTER v SET STATISTICS 500, ALTER v SET DEFAULT 7':
      undefined,
    'ALTER TABLE narrow ALTER v SET STATISTICS 500; VACUUM FULL narrow; ALTER TABLE narrow ALTER v SET NOT NULL':
      undefined,
    "COMMENT ON TABLE t IS 'x'; COMMENT ON COLUMN t.v IS 'x'; ALTER TABLE t OWNER TO CURRENT_USER; ALTER TABLE t ENABLE ROW LEVEL SECURITY":
      undefined,
    'TRUNCATE t; TRUNCATE narrow; INSERT INTO t (id, v) VALUES (1, 1)': undefined,
    'ALTER TABLE t ALTER w TYPE varchar(20); ALTER TABLE t ALTER w TYPE text; ALTER TABLE t ALTER at TYPE timestamptz':
      undefined,
    "ALTER TYPE mood ADD VALUE 'so-so' BEFORE 'bad'; ALTER TYPE mood RENAME TO temper": undefined,
    'ALTER TYPE pair RENAME ATTRIBUTE a TO c': undefined,
    'CREATE TABLE r3 PARTITION OF r FOR VALUES FROM (30) TO (40); ALTER TABLE r3 REPLICA IDENTITY FULL; INSERT INTO r VALUES (31, 1)':
      undefined,
    'CREATE TABLE r3 (LIKE r INCLUDING ALL); ALTER TABLE r3 REPLICA IDENTITY FULL; ALTER TABLE r ATTACH PARTITION r3 FOR VALUES FROM (30) TO (40); INSERT INTO r VALUES (31, 1)':
      undefined,
    'CREATE TABLE other (id int PRIMARY KEY); ALTER PUBLICATION p ADD TABLE other': undefined,
    'ALTER PUBLICATION p ADD TABLE r1': undefined,
  }))

test('DDL that changes values without a row change is detected', () =>
  expectEach({
    'ALTER TABLE t ALTER v TYPE int USING v + 1000': /^t: wrong: its rows were rewritten while its columns v/,
    'ALTER TABLE narrow ALTER v TYPE int USING v + 1000': /^narrow: wrong: .*columns v/,
    'ALTER TABLE narrow ALTER v TYPE int USING v + 1000; ALTER TABLE narrow ALTER v TYPE int USING v - 1000':
      /^narrow: wrong/,
    'ALTER TABLE t ALTER v TYPE int USING v + 1000; VACUUM FULL t': /^t: wrong/,
    'ALTER TABLE narrow ALTER v TYPE int USING v + 1000; VACUUM FULL narrow': /^narrow: wrong/,
    'ALTER TABLE r ALTER v TYPE int USING v + 1000': /^r: wrong/,
    "ALTER TYPE mood RENAME VALUE 'ok' TO 'good'": /^t: wrong: the label 'ok' of the type public\.mood is now 'good'/,
    "ALTER TYPE mood RENAME VALUE 'ok' TO 'good'; ALTER TYPE mood RENAME VALUE 'good' TO 'ok'":
      /^t: wrong: .*'ok'.*had another name/,
    "ALTER TYPE mood RENAME VALUE 'ok' TO 'good'; ALTER TYPE mood ADD VALUE 'ok' BEFORE 'good'":
      /^t: wrong: .*'ok'.* is now 'good'/,
    'ALTER TYPE pair ADD ATTRIBUTE c int': /^t: wrong: the type public\.pair .*other attributes/,
    'ALTER TABLE t DROP COLUMN at; ALTER TABLE t ADD COLUMN at timestamptz(3)':
      /^t: wrong: its column at was dropped, and is another one/,
  }))

test('DDL on keys, column positions and the publication is detected', () =>
  expectEach({
    'ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (v, id)':
      /^t: wrong: its primary key was \(id\) and is \(v, id\)/,
    'ALTER TABLE t DROP CONSTRAINT t_pkey': /^t: wrong: its primary key \(id\) was dropped/,
    'ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (id)': /^t: wrong: .*dropped and made again/,
    'ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id) DEFERRABLE':
      /^t: wrong: .*NOT DEFERRABLE and is DEFERRABLE/,
    'ALTER PUBLICATION p DROP TABLE t': /^t: wrong: it is not in the publication/,
    'ALTER PUBLICATION p DROP TABLE t; ALTER PUBLICATION p ADD TABLE t':
      /^t: wrong: it was removed from the publication and added/,
    'ALTER PUBLICATION p SET TABLE t WHERE (id > 5), narrow, r': /^t: wrong: it has a row filter/,
    'ALTER PUBLICATION p SET TABLE t (id, v), narrow, r': /^t: wrong: it has a column list/,
  }))

test('a table stays published as long as its schema, all tables, or the table itself is in the publication', async () => {
  await db.sql(setup)
  const whole = 'WITH (publish_via_partition_root = true, publish_generated_columns = stored)'
  await db.sql(`DROP PUBLICATION p; CREATE PUBLICATION p FOR ALL TABLES ${whole}`)
  assert.equal((await judge(await captured())).found, [])
  await db.sql(`DROP PUBLICATION p; CREATE PUBLICATION p FOR TABLES IN SCHEMA public ${whole}`)
  const catalog = await captured()
  await db.sql('ALTER PUBLICATION p ADD TABLE ONLY t')
  const { found, now } = await judge(catalog)
  assert.equal(found, [])
  await db.sql('ALTER PUBLICATION p DROP TABLES IN SCHEMA public')
  const without = (await judge(now)).found.sort()
  assert.match(
    without.join('; '),
    /^narrow: wrong: it is not in the publication[^;]*; r: wrong: it is not in the publication[^;]*$/,
  )
  await db.sql('ALTER PUBLICATION p ADD TABLES IN SCHEMA public')
  const again = (await judge(now)).found.sort()
  assert.match(
    again.join('; '),
    /^narrow: wrong: it was removed from the publication and added again[^;]*; r: wrong: it was removed[^;]*$/,
  )
})

test('changes committed before the DDL can be sent first', () =>
  expectEach({
    'DROP TABLE t': /^t: over: it was dropped/,
    'ALTER TABLE t RENAME TO old': /^t: over: it is now called public\.old/,
    'ALTER TABLE t ALTER v TYPE bigint': /^t: over: its column v was integer and is bigint/,
    'ALTER TABLE t ALTER id TYPE bigint': /^t: over: its column id was integer and is bigint/,
    'ALTER TABLE narrow ALTER w TYPE varchar(5)': /^narrow: over: its column w was character varying\(10\) and is/,
    'CREATE TABLE heir () INHERITS (narrow)': /^narrow: over: the table public\.heir inherits/,
    'TRUNCATE r1': /^r: over: its partition public\.r1 was truncated alone/,
    'TRUNCATE r1; INSERT INTO r VALUES (11, 1); ANALYZE r1': /^r: over: .*r1 was truncated/,
    'TRUNCATE r1; VACUUM FULL r1': /^r: over: .*r1 was truncated/,
    'ALTER TABLE r DETACH PARTITION r1': /^r: over: its partition public\.r1 was detached or dropped/,
    'DROP TABLE r1': /^r: over: its partition public\.r1 was detached or dropped/,
    'ALTER TABLE r DETACH PARTITION r1; ALTER TABLE r ATTACH PARTITION r1 FOR VALUES FROM (10) TO (20)':
      /^r: over: .*r1 was detached and attached again/,
    'CREATE TABLE r3 (LIKE r INCLUDING ALL); ALTER TABLE r3 REPLICA IDENTITY FULL; INSERT INTO r3 VALUES (31, 1); ALTER TABLE r ATTACH PARTITION r3 FOR VALUES FROM (30) TO (40)':
      /^r: over: the partition public\.r3 was attached with rows/,
  }))

test('DDL that will stop the stream is reported beforehand, with a remedy', () =>
  expectEach({
    'ALTER TABLE t ADD COLUMN n int': /^t: ahead: it has a new column n\. .*drop.*--new-generation/,
    'ALTER TABLE t ADD COLUMN n float DEFAULT random()': /^t: ahead: it has a new column n/,
    'ALTER TABLE t DROP COLUMN s': /^t: ahead: its column s was dropped/,
    'ALTER TABLE t RENAME s TO q': /^t: ahead: its column s is now called q/,
    'ALTER TABLE t ALTER v DROP NOT NULL': /^t: ahead: its column v is no longer NOT NULL/,
    'ALTER TABLE t REPLICA IDENTITY DEFAULT':
      /^t: ahead: it does not have REPLICA IDENTITY FULL.*ALTER TABLE "public"\."t" REPLICA/,
    'CREATE TABLE "r 3" PARTITION OF r FOR VALUES FROM (30) TO (40)':
      /^r: ahead: its partition public\.r 3 does.*ALTER TABLE "public"\."r 3" REPLICA/,
  }))

test('a partition that is captured alone sends its changes under its root once the root is published', async () => {
  await db.sql(setup)
  await db.sql('ALTER PUBLICATION p SET TABLE r1')
  const { tables: sources } = await chooseTables(db.client, configSchema.parse({ tables: { 'public.r1': {} } }))
  const catalog = await recordCatalog(db.client, { publication: 'p', sources })
  assert.equal((await judge(catalog)).found, [])
  for (const added of ['TABLE r', 'TABLES IN SCHEMA public']) {
    await db.sql(`ALTER PUBLICATION p ADD ${added}`)
    assert.match((await judge(catalog)).found.join(), /^r1: wrong: public\.r is in the publication too/)
    await db.sql(`ALTER PUBLICATION p DROP ${added}`)
  }
})

test('harmless changes together stay harmless, and hide no other change', async () => {
  await db.sql(setup)
  let now = await captured()
  for (const statement of [
    'ALTER TABLE narrow ADD CONSTRAINT positive CHECK (v > 0)',
    'ALTER TABLE narrow ALTER v SET STATISTICS 100',
    'TRUNCATE narrow',
    'INSERT INTO narrow VALUES (1, 1)',
    'ALTER TABLE narrow ALTER v SET DEFAULT 3',
    'VACUUM FULL r',
    'ALTER TABLE r ALTER v SET STATISTICS 100',
    "ALTER TYPE mood ADD VALUE 'new'",
  ]) {
    await db.sql(statement)
    const judged = await judge(now)
    assert.equal(judged.found, [], statement)
    now = judged.now
  }
  await db.sql('ALTER TABLE narrow ALTER v TYPE int USING v + 1000')
  assert.match((await judge(now)).found.join(), /^narrow: wrong: its rows/)
})

test('the catalog is read while another session alters a table; locked tables are read later', async () => {
  await db.sql(setup)
  const catalog = await captured()
  const other = await db.connect()
  await db.sql('TRUNCATE r1')
  await other.query('BEGIN; LOCK TABLE t, narrow, r, r1 IN ACCESS EXCLUSIVE MODE')
  const { version } = await readMoment(db.client, 'p')
  const record = catalog.tables.find(({ source }) => source.name === 'r')!
  const facts = await readFacts(db.client, [record.source.oid], { version, publication: catalog.publication.oid })
  const [doubt] = compareFacts(record.facts, facts.get(record.source.oid), {
    dropped: new Set(),
    personal: false,
    version,
  }).unclear
  assert.is(doubt!.kind, 'emptied')
  assert.is(await isHarmless(db.client, doubt!, record.seen), undefined)
  await other.query('ROLLBACK')
  assert.is(await isHarmless(db.client, doubt!, record.seen), false)
})

test.run()
