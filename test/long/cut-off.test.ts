// test/long/cut-off: a destructive command that is killed between any two steps leaves nothing
// wrong, and a second call finishes it.

import { join } from 'node:path'
import { openConnections, type PipelineConnections } from '../../cli/connections.ts'
import { dropOne } from '../../cli/generations.ts'
import { destruction } from '../../cli/reset/reset.ts'
import { loadConfig } from '../../runtime/config/config.ts'
import { Disposables } from '../../runtime/disposables.ts'
import type { Steps } from '../../runtime/steps.ts'
import { writeFixture } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { listGenerations, millrace } from '../support/pipelines/commands.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import { quietLog, type Services, startServices } from '../support/servers/services.ts'

const test = suite('commands that are cut off', { timeoutMs: 600_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const schema = `CREATE SCHEMA IF NOT EXISTS shop;
CREATE TABLE IF NOT EXISTS shop.sales (id int PRIMARY KEY, code text NOT NULL, amount numeric(10, 2) NOT NULL);
ALTER TABLE shop.sales REPLICA IDENTITY FULL;
`
const rows = 'INSERT INTO shop.sales SELECT g, chr(97 + g % 7), g FROM generate_series(1, 100) g'
const change = 'UPDATE shop.sales SET amount = amount + 1'

function writeModel(database: string): string {
  return writeFixture({
    'model.yaml': `requires: [shop.sales]
publish: { ${database}: [sales_by_code] }
aggregates: { sums_by_code: { by: [id], of: [shop.sales] } }
`,
    'clickhouse/100_sums.sql': `CREATE TABLE sums_by_code (code String, sales Int64, amount Decimal(38, 2)) ENGINE = SummingMergeTree ORDER BY code;
CREATE VIEW \`sums_by_code.contributions\` AS
SELECT code, sum(_sign) AS sales, sum(_sign * toDecimal128(amount, 2)) AS amount FROM \`shop.sales.rows\` GROUP BY code;
`,
    'clickhouse/200_view.sql': `CREATE VIEW sales_by_code AS
SELECT code, sum(sales) AS sales, sum(amount) AS amount FROM sums_by_code GROUP BY code HAVING sales != 0;
`,
    'checks/sales_by_code.sql': `-- key: code
SELECT code, count(*) AS sales, sum(amount) AS amount FROM shop.sales GROUP BY code`,
    'source/010_shop.sql': schema,
  })
}

async function start(): Promise<Pipeline> {
  const model = writeModel(`reports_${process.pid}`)
  return startPipeline(services, {
    setup: `${schema}; ${rows}`,
    tables: { 'shop.*': {} },
    settings: { model },
  })
}

async function stop({ producer, consumer }: Pipeline): Promise<void> {
  await Promise.all([producer, consumer].map(worker => worker.running && worker.stop()))
}

/**
 * Runs the first steps of `plan` in this process. Its connections then end as if the process had
 * been killed.
 */
async function firstSteps(
  { directory }: Pipeline,
  count: number,
  plan: (connections: PipelineConnections) => Steps,
): Promise<string | undefined> {
  const config = loadConfig({ file: join(directory, 'millrace.yaml'), flags: { directory }, env: {}, cwd: directory })
  const disposables = new Disposables()
  const opened = (name: string, close: () => unknown) => disposables.opened(name, close)
  const lifecycle = { signal: new AbortController().signal, opened, stop: () => {} }
  try {
    const steps = plan(await openConnections({ config, log: quietLog(), lifecycle, env: {} }))
    let last: string | undefined
    for (let step = 0; step < count; step++) {
      const { done, value } = await steps.next()
      if (done) return undefined
      last = value
    }
    await steps.return()
    return last
  } finally {
    await disposables.close()
  }
}

/**
 * Starts the services as an operator would who does not know of the kill. They continue correctly,
 * or stop by name.
 */
async function startUnaware(pipeline: Pipeline): Promise<'went on' | 'refused'> {
  pipeline.start()
  try {
    await pipeline.settle()
  } catch (error) {
    assert.match(pipeline.consumer.tail(), 'WAREHOUSE_UNFINISHED', String(error))
    assert.match(pipeline.consumer.tail(), /run it again: millrace reset (warehouse|star)/)
    assert.equal(pipeline.consumer.end, { code: 2, signal: null })
    return 'refused'
  }
  await pipeline.assertEqual()
  return 'went on'
}

/** Interrupts `plan` after each of its steps, and finishes it by `args`. */
async function cutEverywhere(
  pipeline: Pipeline,
  plan: (connections: PipelineConnections) => Steps,
  { args, refill = '' }: { args: readonly string[]; refill?: string },
): Promise<string[]> {
  const outcomes: string[] = []
  for (let count = 1; count < 20; count++) {
    await stop(pipeline)
    await pipeline.sql(change)
    const step = await firstSteps(pipeline, count, plan)
    if (step !== undefined) {
      const outcome = await startUnaware(pipeline)
      outcomes.push(`${step.replace(/\d+/g, 'N')}: ${outcome}`)
      await stop(pipeline)
      assert.is(await millrace(pipeline, ...args), 0, step)
    }
    if (refill !== '') await pipeline.sql(refill)
    pipeline.start()
    await pipeline.assertEqual()
    if (step === undefined) return outcomes
  }
  throw new Error(`it does not end:\n${outcomes.join('\n')}`)
}

test('reset warehouse is finished by a second call', async () => {
  await using pipeline = await start()
  const plan = (connections: PipelineConnections) => destruction('warehouse', connections)
  const outcomes = await cutEverywhere(pipeline, plan, { args: ['reset', 'warehouse', '--confirm', pipeline.name] })
  const name = pipeline.name.replace(/\d+/g, 'N')
  assert.equal(outcomes, [
    `database ${name}_N is marked as being dropped: refused`,
    'the consumer group of generation N is gone: refused',
    'the stable views are gone: refused',
    `database ${name}_N is gone: went on`,
  ])
})

test('reset star is finished by a second call', async () => {
  await using pipeline = await start()
  const plan = (connections: PipelineConnections) => destruction('star', connections)
  const outcomes = await cutEverywhere(pipeline, plan, { args: ['reset', 'star', '--confirm', pipeline.name] })
  assert.ok(outcomes.length >= 5, outcomes.join('\n'))
  const interrupted = outcomes.slice(0, -1)
  assert.ok(
    interrupted.every(outcome => outcome.endsWith('refused')),
    outcomes.join('\n'),
  )
  assert.match(outcomes.at(-1)!, /^the consumer computes the aggregates .*: went on$/)
})

test('reset topics is finished by a second call, and generations drop removes the rest', async () => {
  await using pipeline = await start()
  const plan = (connections: PipelineConnections) => destruction('topics', connections)
  const outcomes = await cutEverywhere(pipeline, plan, { args: ['reset', 'topics', '--confirm', pipeline.name] })
  assert.ok(outcomes.length >= 3 && outcomes.every(outcome => outcome.endsWith('went on')), outcomes.join('\n'))
  const older = async () => (await listGenerations(pipeline)).filter(line => !line.includes('serving'))
  for (let count = 1; (await older()).length > 0; count = 1 + (count % 3)) {
    const [line] = await older()
    const number = line!.split(' ')[0]!
    await firstSteps(pipeline, count, connections => dropOne(connections, Number(number)))
    await pipeline.assertEqual()
    const left = (await older()).find(each => each.startsWith(`${number} `))
    if (left !== undefined) assert.is(await millrace(pipeline, 'generations', 'drop', number), 0, left)
  }
  await pipeline.assertEqual()
})

test('reset all is finished by a second call', async () => {
  await using pipeline = await start()
  const plan = (connections: PipelineConnections) => destruction('all', connections)
  const args = ['reset', 'all', '--confirm', pipeline.name]
  const outcomes = await cutEverywhere(pipeline, plan, { args, refill: rows })
  assert.ok(outcomes.length >= 6 && outcomes.every(outcome => outcome.endsWith('went on')), outcomes.join('\n'))
  const left = await pipeline.sql('SELECT slot_name FROM pg_replication_slots WHERE database = current_database()')
  assert.is(left.length, 1)
})

test.run()
