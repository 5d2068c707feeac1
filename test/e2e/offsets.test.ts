// test/e2e/offsets.test: committed offsets, changelogs and topics that no longer fit each other: exact again, or a halt by name and a way out that works.
// May know: everything. One pipeline for all; each test leaves it consistent for the next.

import { cp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { consumerGroup } from '../../contract/generation.ts'
import { joinGroup } from '../../kafka/group.ts'
import { writeFixture } from '../support/fixture.ts'
import { connectTo } from '../support/kafka.ts'
import { millrace } from '../support/millrace.ts'
import { type Pipeline, startPipeline } from '../support/pipeline.ts'
import { type Services, startServices } from '../support/services.ts'
import { assert, suite, until } from '../support/suite.ts'
import { appendRecords } from '../support/topic.ts'

const test = suite('offsets', { timeoutMs: 120_000 })
const setup = `CREATE TABLE public.sales (id int PRIMARY KEY, amount numeric(10,2) NOT NULL); ALTER TABLE public.sales REPLICA IDENTITY FULL;
  INSERT INTO public.sales SELECT g, g FROM generate_series(1, 100) g`
const modelFiles = {
  'model.yaml': 'requires: [public.sales]\npublish: { sums: [by_parity] }\nrecompute: { sums: sums_from_sales }\n',
  'clickhouse/100_sums.sql': `CREATE TABLE sums (parity UInt8, sales Int64, amount Decimal(38, 2)) ENGINE = SummingMergeTree ORDER BY parity;
CREATE MATERIALIZED VIEW sums_from_sales TO sums AS SELECT toUInt8(abs(id) % 2) AS parity, sum(_sign) AS sales, sum(_sign * toDecimal128(amount, 2)) AS amount
FROM \`public.sales.changelog\` GROUP BY parity;
CREATE VIEW by_parity AS SELECT parity, sum(sums.sales) AS sales, sum(sums.amount) AS amount FROM sums GROUP BY parity HAVING sales != 0;
`,
  'checks/by_parity.sql':
    '-- key: parity\nSELECT abs(id) % 2 AS parity, count(*) AS sales, sum(amount) AS amount FROM public.sales GROUP BY 1\n',
}
const changelog = '`public.sales.changelog`'

let services: Services
let pipeline: Pipeline
let kafka: Kafka

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
  kafka = new Kafka({ brokers: [services.endpoints.kafka!], logLevel: logLevel.NOTHING })
  pipeline = await startPipeline(services, { setup, settings: { model: writeFixture(modelFiles) } })
})
test.after(async () => {
  await pipeline?.[Symbol.asyncDispose]()
  await services?.stop()
})

const groupId = () => consumerGroup(pipeline.name, 1)
const topic = () => `${pipeline.name}.1.public.sales`

async function withAdmin<T>(work: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

/** A few transactions, each with inserts of its own in ClickHouse. */
async function change(times = 4): Promise<void> {
  for (let time = 0; time < times; time++) {
    await pipeline.sql(
      'UPDATE sales SET amount = amount + 1 WHERE id % 3 = 0; DELETE FROM sales WHERE id = (SELECT max(id) FROM sales)',
    )
    await pipeline.settle()
  }
}

/** Starts what does not run; current state, sums and every image are as in Postgres, and none is there twice. */
async function assertExact(): Promise<void> {
  pipeline.start()
  await change(1)
  const { reports } = await pipeline.assertEqual()
  assert.equal(Object.keys(reports), ['by_parity'])
  const [row] = await pipeline.clickhouse<{ images: string; distinct: string; amount: string }>(
    `SELECT toString(count()) AS images, toString(uniqExact(_partition, _offset, _sign)) AS distinct, toString(sum(_sign * amount)) AS amount FROM ${changelog}`,
  )
  assert.is(row!.images, row!.distinct)
  const [source] = await pipeline.sql<{ amount: string }>('SELECT trim_scale(sum(amount)) AS amount FROM sales')
  assert.is(row!.amount, source!.amount)
  assert.is(await isUncertain(), false)
}

async function isUncertain(): Promise<boolean> {
  return (await pipeline.clickhouse('SELECT reason FROM uncertain')).length > 0
}

test('offsets that were deleted make no difference: the changelog tells', async () => {
  await change()
  await pipeline.consumer.stop()
  await withAdmin(admin => admin.deleteGroups([groupId()]))
  await assertExact()
  assert.match(pipeline.consumer.log, /its offset was deleted, or moved by another program/)
})

for (const [where, offsetsAt] of [
  ['to the beginning', () => '0'],
  ['to the end', (high: string) => high],
] as const) {
  test(`offsets that Kafka's tools have moved ${where} make no difference`, async () => {
    await change()
    await pipeline.consumer.stop()
    await pipeline.sql(
      'INSERT INTO sales SELECT 1000 + g + (SELECT max(id) FROM sales), 7 FROM generate_series(1, 10) g',
    )
    await withAdmin(async admin => {
      const partitions = (await admin.fetchTopicOffsets(topic())).map(({ partition, high }) => ({
        partition,
        offset: offsetsAt(high),
      }))
      await admin.setOffsets({ groupId: groupId(), topic: topic(), partitions })
    })
    await assertExact()
  })
}

test("another program's commits stop the consumer by name, and deleting its group is the way out", async () => {
  await pipeline.consumer.stop()
  const connection = await connectTo(services.endpoints.kafka!)
  const member = joinGroup(connection, { groupId: groupId(), groups: [{ topics: [topic()], partitions: 2 }] })
  await member.assigned(new AbortController().signal)
  await member.commit([{ topic: topic(), partition: 1, offset: 3, metadata: 'theirs' }])
  await member.leave()
  await connection.close()
  pipeline.consumer.start()
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  assert.match(pipeline.consumer.tail(), /INTENT_UNREADABLE.*"theirs".*kafka-consumer-groups\.sh --delete/s)
  await withAdmin(admin => admin.deleteGroups([groupId()]))
  await assertExact()
})

test('parts that ClickHouse lost with the power of its host are inserted again from the topics', async () => {
  for (const table of ['changelog', 'current']) await command(`SYSTEM STOP MERGES \`public.sales.${table}\``)
  await change(6)
  await pipeline.consumer.stop()
  // One amid the last ones, and the last.
  for (const table of ['changelog', 'current']) {
    const parts = await pipeline.clickhouse<{ name: string }>(
      `SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'public.sales.${table}' AND active ORDER BY max_block_number DESC`,
    )
    assert.ok(parts.length >= 6)
    for (const { name } of [parts[0]!, parts[2]!])
      await command(`ALTER TABLE \`public.sales.${table}\` DROP PART '${name}'`)
    await command(`SYSTEM START MERGES \`public.sales.${table}\``)
  }
  await assertExact()
  assert.match(pipeline.consumer.log, /records that ClickHouse had lost are inserted again/)
  assert.match(pipeline.consumer.log, /ClickHouse has lost records that were folded/)
})

test('an older copy of the database is brought up to date', async () => {
  const data = join(services.directory, 'clickhouse')
  await pipeline.consumer.stop()
  await services.kill('clickhouse')
  await cp(data, `${data}.copy`, { recursive: true })
  await services.restart()
  pipeline.start()
  await change()
  await pipeline.consumer.stop()
  await services.kill('clickhouse')
  await rm(data, { recursive: true })
  await rename(`${data}.copy`, data)
  await services.restart()
  await assertExact()
})

test('a database that is gone is folded anew', async () => {
  await pipeline.consumer.stop()
  await command(`DROP DATABASE ${await pipeline.database()} SYNC`)
  await assertExact()
})

test('a table that is dropped while the consumer runs is named, also at the next start, and a reset is the way out', async () => {
  await command(`DROP TABLE ${changelog} SYNC`)
  await pipeline.sql('UPDATE sales SET amount = amount + 1')
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  assert.match(pipeline.consumer.tail(), /CLICKHOUSE_FAILED.*public\.sales\.changelog/)
  pipeline.consumer.start()
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  assert.match(
    pipeline.consumer.tail(),
    /WAREHOUSE_DAMAGED.*are gone: public\.sales\.changelog\n.*millrace reset warehouse/,
  )
  await pipeline.producer.stop()
  assert.is(await millrace(pipeline, 'reset', 'warehouse', '--confirm', pipeline.name), 0)
  await assertExact()
})

test('an aggregate that was dropped is named, and building the star anew is the way out', async () => {
  await pipeline.consumer.stop()
  await command('DROP TABLE sums SYNC')
  pipeline.consumer.start()
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  assert.match(pipeline.consumer.tail(), /WAREHOUSE_DAMAGED.*are gone: sums\n.*millrace reset star/)
  await pipeline.producer.stop()
  assert.is(await millrace(pipeline, 'reset', 'star', '--confirm', pipeline.name), 0)
  await assertExact()
})

test('a topic that was made anew is named, however many records it holds', async () => {
  await change(1)
  await pipeline.consumer.stop()
  await pipeline.producer.stop()
  await withAdmin(async admin => {
    await admin.deleteTopics({ topics: [topic()] })
    await until(async () => !(await admin.listTopics()).includes(topic()), { what: 'the topic is gone' })
    await admin.createTopics({ topics: [{ topic: topic(), numPartitions: 2, replicationFactor: 1 }] })
  })
  const value = Buffer.from('somebody else')
  const records = Array.from({ length: 2_000 }, (_, index) => ({ partition: index % 2, key: value, value }))
  const append = () => appendRecords(services.endpoints.kafka!, topic(), records).then(() => true)
  await until(() => append().catch(() => false), { what: 'it takes records' })
  pipeline.consumer.start()
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  assert.match(
    pipeline.consumer.tail(),
    /OFFSETS_MISSING: the last record that was folded is the change .*, and where it stood the topic now holds/,
  )
})

async function command(sql: string): Promise<void> {
  const database = await pipeline.database()
  const response = await fetch(`${services.endpoints.clickhouse}/?database=${database}`, { method: 'POST', body: sql })
  if (!response.ok) throw new Error(await response.text())
}

test.run()
