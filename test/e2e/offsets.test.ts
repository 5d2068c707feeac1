// test/e2e/offsets.test: committed offsets, changelogs and topics that do not fit each other: exact
// again, or an error that names them.
// All tests share one pipeline; each leaves it consistent for the next. More of them are in
// long/offsets.

import { assert, suite, until } from '../support/harness/suite.ts'
import { SummedSales } from '../support/oracles/summed-sales.ts'
import type { Pipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'
import { appendRecords } from '../support/servers/topic.ts'

const test = suite('offsets', { timeoutMs: 120_000 })

let services: Servers
let sales: SummedSales
let pipeline: Pipeline

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
  sales = await SummedSales.start(services)
  pipeline = sales.pipeline
})
test.after(async () => {
  await pipeline?.[Symbol.asyncDispose]()
  await services?.stop()
})

test('deleted offsets make no difference: the changelog has the positions', async () => {
  await sales.change()
  await pipeline.consumer.stop()
  await sales.withAdmin(admin => admin.deleteGroups([sales.groupId]))
  await sales.assertExact()
  assert.match(pipeline.consumer.log, /the offset was deleted, or moved by another program/)
})

test("offsets that Kafka's tools moved to the end make no difference", async () => {
  await sales.change()
  await pipeline.consumer.stop()
  await sales.addTen()
  await sales.moveOffsets(end => end)
  await sales.assertExact()
})

test('parts that ClickHouse lost in a power failure are inserted again from the topics', async () => {
  for (const table of ['changelog', 'current']) await sales.command(`SYSTEM STOP MERGES \`public.sales.${table}\``)
  await sales.change(3)
  for (const change of ['INSERT INTO sales VALUES (5000, 1)', 'DELETE FROM sales WHERE id = 5000']) {
    await pipeline.sql(change)
    await pipeline.settle()
  }
  await sales.change(1)
  await pipeline.consumer.stop()
  // The insert of a row that was deleted later, and the last insert.
  for (const table of ['changelog', 'current']) {
    const [parts] = await pipeline.clickhouse<Record<string, string>>(
      `SELECT argMinIf(_part, _version, id = 5000) AS inserted, argMax(_part, _version) AS last FROM \`public.sales.${table}\``,
    )
    for (const name of Object.values(parts!))
      await sales.command(`ALTER TABLE \`public.sales.${table}\` DROP PART '${name}'`)
    await sales.command(`SYSTEM START MERGES \`public.sales.${table}\``)
  }
  // Makes the tombstones look old.
  await sales.command('OPTIMIZE TABLE `public.sales.current` FINAL')
  await sales.command('ALTER TABLE `public.sales.current` DELETE WHERE _deleted = 1 SETTINGS mutations_sync = 1')
  await sales.assertExact()
  assert.match(pipeline.consumer.log, /records that ClickHouse had lost are inserted again/)
  assert.match(pipeline.consumer.log, /ClickHouse has lost records that were inserted/)
})

test('a topic that was created again is named, however many records it holds', async () => {
  await sales.change(1)
  await pipeline.consumer.stop()
  await pipeline.producer.stop()
  await sales.withAdmin(async admin => {
    await admin.deleteTopics({ topics: [sales.topic] })
    await until(async () => !(await admin.listTopics()).includes(sales.topic), { what: 'the topic is gone' })
    await admin.createTopics({
      waitForLeaders: false,
      topics: [{ topic: sales.topic, numPartitions: 2, replicationFactor: 1 }],
    })
  })
  const value = Buffer.from('somebody else')
  const records = Array.from({ length: 2_000 }, (_, index) => ({ partition: index % 2, key: value, value }))
  const append = () => appendRecords(services.endpoints.kafka!, sales.topic, records).then(() => true)
  await until(() => append().catch(() => false), { what: 'it takes records' })
  pipeline.consumer.start()
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  assert.match(
    pipeline.consumer.tail(),
    /OFFSETS_MISSING: the last record that was inserted is the change .*, and at its offset the topic now holds/,
  )
})

test.run()
