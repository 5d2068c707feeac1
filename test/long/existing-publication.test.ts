// test/long/existing-publication: a pipeline with somebody else's publication, and a role that may
// only replicate and read.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Generation, generationsTopic } from '../../contract/generation.ts'
import { deleteTopics } from '../../kafka/client/admin.ts'
import { writeGeneration } from '../../kafka/generations-topic.ts'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { type CaptureRun, prepareCapture } from '../support/pipelines/capture-run.ts'
import { listGenerations, millrace, printed } from '../support/pipelines/commands.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('existing publication', { timeoutMs: 120_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

/** The statements of the page, with this test's own names of the role and the database. */
function statements(role: string, database: string): string[] {
  const page = readFileSync(join(projectRoot, 'docs/how-to/postgres-role.md'), 'utf8')
  const blocks = [...page.matchAll(/^```sql\n(.*?)^```$/gms)].map(([, text]) => text!)
  return blocks.map(text => text.replaceAll('millrace_reader', role).replace('DATABASE shop', `DATABASE ${database}`))
}

const setup = `
CREATE SCHEMA sales;
CREATE TABLE sales.orders (id int PRIMARY KEY, cents int, twice int GENERATED ALWAYS AS (cents * 2) STORED);
CREATE TABLE sales.visits (id int, year int, PRIMARY KEY (id, year)) PARTITION BY LIST (year);
CREATE TABLE sales.visits_2026 PARTITION OF sales.visits FOR VALUES IN (2026);
CREATE TABLE sales.others (id int PRIMARY KEY, note text);
INSERT INTO sales.orders SELECT i, i FROM generate_series(1, 100) i; INSERT INTO sales.visits SELECT i, 2026 FROM generate_series(1, 100) i`

/** All rights of the role beyond the page's grants. */
const excess = `
SELECT r.what FROM pg_roles u CROSS JOIN LATERAL (
  SELECT 'attribute' WHERE u.rolsuper OR u.rolcreaterole OR u.rolcreatedb OR u.rolbypassrls
  UNION ALL SELECT 'member' FROM pg_auth_members m WHERE m.member = u.oid
  UNION ALL SELECT d.privilege FROM unnest('{CREATE,TEMPORARY}'::text[]) d (privilege) WHERE has_database_privilege(u.oid, current_database(), d.privilege)
  UNION ALL SELECT 'create in ' || n.nspname FROM pg_namespace n WHERE has_schema_privilege(u.oid, n.oid, 'CREATE')
  UNION ALL SELECT t.privilege || ' on ' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'sales'
    CROSS JOIN unnest('{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER,MAINTAIN}'::text[]) t (privilege)
    WHERE c.relkind IN ('r', 'p') AND has_table_privilege(u.oid, c.oid, t.privilege)
  UNION ALL SELECT 'owns ' || classid::regclass FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = u.oid AND deptype = 'o'
) r (what) WHERE u.rolname = $1`

const publications = `SELECT oid, xmin, pubname, obj_description(oid, 'pg_publication') AS comment,
  (SELECT string_agg(r.oid || ' ' || r.prrelid, ',' ORDER BY r.oid) FROM pg_publication_rel r) AS tables FROM pg_publication`
const slots = 'SELECT slot_name FROM pg_replication_slots WHERE database = current_database()'

test('the statements of the page suffice for a load, changes and a reset, and change nothing that others own', async () => {
  const role = uniqueName('reader')
  await using pipeline = await startPipeline(services, { setup, start: false })
  const database = new URL(pipeline.psqlUrl).pathname.slice(1)
  await pipeline.sql(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC`)
  for (const text of statements(role, database)) await pipeline.sql(text)
  const url = new URL(pipeline.psqlUrl)
  url.username = role
  const tables = { 'sales.*': {}, 'sales.others': { capture: false } }
  await pipeline.configure({ source: { url: url.href, publication: 'to_millrace' }, tables })
  const made = await pipeline.sql(publications)
  const checked = await printed(pipeline, 'check', '--fix')
  assert.match(checked, /^ok {4}publication: to_millrace, 2 tables$/m)
  assert.not.match(checked, /FAIL|\?\?\?/)
  assert.equal(await pipeline.sql(excess, [role]), [])

  pipeline.start()
  await pipeline.assertEqual()
  await pipeline.sql(`CREATE TABLE sales.visits_2027 PARTITION OF sales.visits FOR VALUES IN (2027);
    ALTER TABLE sales.visits_2027 REPLICA IDENTITY FULL; ALTER PUBLICATION to_millrace ADD TABLE sales.others`)
  await pipeline.sql(`UPDATE sales.orders SET cents = cents + 1; DELETE FROM sales.visits WHERE id % 2 = 0;
    INSERT INTO sales.visits VALUES (1, 2027); INSERT INTO sales.others VALUES (1, 'x')`)
  await pipeline.assertEqual()
  await pipeline.sql('ALTER PUBLICATION to_millrace DROP TABLE sales.others')
  assert.equal(await listGenerations(pipeline), ['1 serving slot topics database'])
  await Promise.all([pipeline.producer.stop(), pipeline.consumer.stop()])
  assert.is(await millrace(pipeline, 'reset', 'topics', '--confirm', pipeline.name), 0)
  assert.equal(await pipeline.sql(slots), [])
  assert.equal(await pipeline.sql(publications), made)
  assert.equal(await pipeline.sql(excess, [role]), [])
})

const oneTable = `CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1), (2);
  CREATE PUBLICATION to_millrace FOR TABLE ONLY t WITH (publish_via_partition_root = true, publish_generated_columns = stored)`

async function refusedStart(run: CaptureRun): Promise<string> {
  run.worker.start()
  assert.equal(await run.worker.untilEnd(), { code: 2, signal: null })
  return run.worker.tail()
}

async function slotNames(run: CaptureRun): Promise<string[]> {
  return (await run.sql(`${slots} ORDER BY slot_name`)).map(({ slot_name: name }) => name!)
}

test('a slot is dropped by the id in its name; a slot without a record is named with the statement that drops it', async () => {
  await using run = await prepareCapture(services, { setup: oneTable, publication: 'to_millrace' })
  run.worker.start()
  await run.settle()
  await run.worker.stop()
  const made = await run.sql(publications)
  const [live] = await run.generations()
  assert.equal([live!.publication, await slotNames(run)], ['to_millrace', [live!.slot]])

  const strange = `${run.name}_1_${'0'.repeat(16)}`
  await run.sql(`SELECT pg_create_logical_replication_slot('${strange}', 'pgoutput')`)
  const cutOff: Generation = { ...live!, state: 'loading', consistentPoint: 0 }
  await run.kafka(kafka => writeGeneration(kafka, run.name, cutOff))
  const remedy = (text: string) => [...text.matchAll(/in Postgres: (.*);$/gm)].at(-1)![1]!
  const text = await refusedStart(run)
  assert.match(text, 'GENERATION_UNKNOWN')
  assert.is(remedy(text), `SELECT pg_drop_replication_slot('${strange}')`)
  assert.equal(await slotNames(run), [strange], 'the load that was cut off is taken back, and nothing else')
  await run.sql(remedy(text))
  run.worker.start()
  await run.settle()
  await run.worker.stop()
  const [second] = (await run.generations()).filter(({ state }) => state === 'live')
  assert.equal([second!.number, await slotNames(run)], [2, [second!.slot]])

  await run.kafka(kafka => deleteTopics(kafka, [generationsTopic(run.name)]))
  assert.is(remedy(await refusedStart(run)), `SELECT pg_drop_replication_slot('${second!.slot}')`)
  assert.equal(await slotNames(run), [second!.slot])
  assert.equal(await run.sql(publications), made)
})

test('a generation continues only with its own, unaltered publication; otherwise the producer stops by name', async () => {
  await using run = await prepareCapture(services, { setup: oneTable, publication: 'to_millrace' })
  run.worker.start()
  await run.settle()
  await run.worker.stop()
  const slot = await slotNames(run)
  await run.configure({})
  const text = await refusedStart(run)
  assert.match(text, 'GENERATION_CHANGED: source.publication was to_millrace when it began and is not set')
  assert.match(text, /next: .*millrace producer --new-generation/)
  assert.equal(await slotNames(run), slot)
  await run.configure({ publication: 'to_millrace' })
  await run.sql('INSERT INTO t VALUES (3)')
  run.worker.start()
  await run.settle()
  await run.sql("ALTER PUBLICATION to_millrace SET (publish = 'insert')")
  assert.is((await run.worker.untilEnd()).code, 2)
  assert.match(
    run.worker.tail(),
    /GENERATION_CHANGED: the publication was altered: .* It lacks: update, delete, truncate\./,
  )
})

test.run()
