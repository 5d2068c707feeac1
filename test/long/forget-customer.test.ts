// test/long/forget-customer.test: a customer of the shop is erased everywhere while the shop
// continues.
// The test also searches the files of Kafka and ClickHouse, beyond the command's own proof.

import { createHmac } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Proof } from '../../cli/forget/forget.ts'
import { backfill } from '../../generator/database/backfill.ts'
import { applySchema } from '../../generator/database/schema.ts'
import { loadConfig } from '../../runtime/config/config.ts'
import { packagePath } from '../../runtime/files.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { searchContents, searchFiles } from '../support/oracles/text-search.ts'
import { listGenerations, millrace } from '../support/pipelines/commands.ts'
import { type Pipeline, startPipeline } from '../support/pipelines/pipeline.ts'
import { quietLog, type Services, startServices } from '../support/servers/services.ts'

const test = suite('forget a customer', { timeoutMs: 240_000 })
const model = packagePath('model/sales')
const { tables } = loadConfig({ file: join(model, 'millrace.yaml'), env: {}, cwd: model })
const key = 'a key that is long enough to be one'
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const former = [
  ...['Ǥrethe Ʒebulon', 'grethe@forget.example', '+49 555 0199', 'Forgetville'],
  ...['Ǥ*** Ʒ***', createHmac('sha256', key).update('grethe@forget.example').digest('hex')],
]
/** Columns that the policies send. */
const downstream = former.slice(3)

/** Runs a command to its end. */
async function run(pipeline: Pipeline, ...args: string[]): Promise<{ code: number | null; log: string }> {
  await using command = pipeline.worker('producer', ...args)
  command.start()
  const { code } = await command.untilEnd(120_000)
  return { code, log: command.log }
}

function jsonOf<T>(log: string): T {
  const from = log.search(/^[[{]$/m)
  return JSON.parse(log.slice(from, log.lastIndexOf('\n---'))) as T
}

/** A shop with a customer who has every kind of data downstream. Returns the customer's number. */
async function plantCustomer(pipeline: Pipeline): Promise<string> {
  await applySchema(pipeline.psqlUrl, quietLog())
  await backfill({ url: pipeline.psqlUrl, orders: 800, years: 1, seed: 3, log: quietLog() })
  const [best] = await pipeline.sql('SELECT customer_id FROM shop.orders GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1')
  const id = best!.customer_id!
  const change = (text: string) => pipeline.sql(`UPDATE shop.customers SET ${text} WHERE customer_id = ${id}`)
  await change(`full_name = 'Ǥrethe Ʒebulon', email = 'grethe@forget.example', phone = '+49 555 0199'`)
  await change(`birth_date = '1966-06-06'`)
  pipeline.start()
  await pipeline.settle()
  await change(`city = 'Forgetville'`)
  await change(`created_at = '-infinity'`)
  await change(`created_at = '2024-05-17 10:00'`)
  await pipeline.sql(`INSERT INTO shop.user_traffic (customer_id, traffic_source_id, visited_at, landing_page, cost)
    SELECT ${id}, min(traffic_source_id), now(), '/planted', 0 FROM shop.traffic_sources`)
  await pipeline.settle()
  const deadLetters = await pipeline.deadLetters()
  assert.equal(
    deadLetters.map(({ change }) => change!.row.customer_id),
    [id, id],
  )
  return id
}

async function assertDownstream(pipeline: Pipeline): Promise<void> {
  const places = await searchContents(pipeline, former)
  const found = former.filter(text => places.some(place => place.endsWith(text)))
  assert.equal(found, downstream, 'what the policies let through, and nothing else')
  assert.ok(searchFiles(services, downstream).length > 0)
}

/**
 * Asserts that neither the servers, nor their files, nor the command's output contain the customer.
 */
async function assertGone(pipeline: Pipeline): Promise<void> {
  assert.equal(await searchContents(pipeline, former), [])
  const what = 'no file holds anything of the customer'
  await until(() => searchFiles(services, former).length === 0, { what, timeoutMs: 20_000 })
  assert.equal(readdirSync(join(pipeline.directory, 'forget')), [])
  const name = `${pipeline.name}_2`
  const slots = `SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE '${pipeline.name}%'`
  assert.equal(await pipeline.sql(slots), [{ slot_name: name }])
  assert.equal(await pipeline.sql('SELECT pubname FROM pg_publication'), [{ pubname: name }])
}

test('a customer with orders, visits, changes and a refused row is erased everywhere; all other data stay', async () => {
  await using pipeline = await startPipeline(services, {
    tables: { ...tables, 'shop.customers': { ...tables['shop.customers'], onError: 'dead-letter' } },
    settings: { model, hash: { key } },
    start: false,
  })
  const id = await plantCustomer(pipeline)
  await assertDownstream(pipeline)
  await using load = pipeline.worker('generator', 'generator', 'run', '--rate', '100')
  load.start()
  const { code, log } = await run(pipeline, 'forget', '--customer', id, '--json')
  await load.stop()
  assert.is(code, 0, log)
  const proof = jsonOf<Proof>(log)
  assert.equal([proof.ok, proof.generation, proof.dropped, proof.finds], [true, 2, [1], []])
  assert.ok(proof.topics.places > 10 && proof.topics.looked > 2000 && proof.tables.looked > 2000)
  const sought = proof.sought.filter(label => label.includes('email'))
  assert.equal(sought, ['shop.customers.email', 'shop.customers.email, hashed'])
  assert.not.match(log, /Ʒ|grethe|Forgetville|555 0199/)

  await pipeline.assertEqual()
  assert.equal(await listGenerations(pipeline), ['2 serving slot topics database'])
  await assertGone(pipeline)
  const orders = await pipeline.clickhouse(`SELECT 1 FROM \`shop.orders\` WHERE customer_id = ${id} LIMIT 1`)
  assert.is(orders.length, 1, 'the orders keep counting')
  const names = await pipeline.clickhouse(`SELECT full_name FROM \`shop.customers\` WHERE customer_id = ${id}`)
  assert.equal(names, [{ full_name: 'f***' }])
  const visits = await pipeline.sql(`SELECT customer_id FROM shop.user_traffic WHERE landing_page = '/planted'`)
  assert.equal(visits, [{ customer_id: null }])

  const gone = /there is no customer \d+, or this person was forgotten before/
  await assert.refuses(() => millrace(pipeline, 'forget', 'customer', id), 'USAGE', gone)
  const visitor = () => millrace(pipeline, 'forget', '--visitor=1')
  const { next } = await assert.refuses(visitor, 'USAGE', /how to forget a "visitor"/)
  assert.is(next, 'it knows: customer')
})

test.run()
