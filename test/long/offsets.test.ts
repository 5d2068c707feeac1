// test/long/offsets.test: ClickHouse or offsets after an accident: exact again, or an error that
// names them with a remedy that works.
// All tests share one pipeline; each leaves it consistent for the next.

import { cp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { joinGroup } from '../../kafka/group/group.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { changelog, SummedSales } from '../support/oracles/summed-sales.ts'
import { listGenerations, millrace } from '../support/pipelines/commands.ts'
import type { Pipeline } from '../support/pipelines/pipeline.ts'
import { connectTo } from '../support/servers/kafka.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('offsets after accidents', { timeoutMs: 180_000 })

let services: Services
let sales: SummedSales
let pipeline: Pipeline

test.before(async () => {
  services = await startServices(['postgres', 'kafka', 'clickhouse'])
  sales = await SummedSales.start(services)
  pipeline = sales.pipeline
})
test.after(async () => {
  await pipeline?.[Symbol.asyncDispose]()
  await services?.stop()
})

test("offsets that Kafka's tools moved to the beginning make no difference", async () => {
  await sales.change()
  await pipeline.consumer.stop()
  await sales.addTen()
  await sales.moveOffsets(() => '0')
  await sales.assertExact()
})

test("another program's commits stop the consumer by name, and deleting the group is the remedy", async () => {
  await pipeline.consumer.stop()
  const connection = await connectTo(services.endpoints.kafka!)
  const member = joinGroup(connection, { groupId: sales.groupId, groups: [{ topics: [sales.topic], partitions: 2 }] })
  await member.awaitAssignment(new AbortController().signal)
  await member.commit([{ topic: sales.topic, partition: 1, offset: 3, metadata: 'theirs' }])
  await member.leave()
  await connection.close()
  pipeline.consumer.start()
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  assert.match(pipeline.consumer.tail(), /COMMIT_UNREADABLE.*"theirs".*kafka-consumer-groups\.sh --delete/s)
  await sales.withAdmin(admin => admin.deleteGroups([sales.groupId]))
  await sales.assertExact()
})

test('an older copy of the database is brought up to date', async () => {
  const data = join(services.directory, 'clickhouse')
  await pipeline.consumer.stop()
  await services.kill('clickhouse')
  await cp(data, `${data}.copy`, { recursive: true })
  await services.restart()
  pipeline.start()
  await sales.change()
  await pipeline.consumer.stop()
  await services.kill('clickhouse')
  await rm(data, { recursive: true })
  await rename(`${data}.copy`, data)
  await services.restart()
  await sales.assertExact()
})

test('a lost database is filled again from the topics', async () => {
  await pipeline.consumer.stop()
  await sales.command(`DROP DATABASE ${await pipeline.database()} SYNC`)
  await sales.assertExact()
})

test('a table that is dropped while the consumer runs is named, also at the next start, and a reset is the remedy', async () => {
  await sales.command(`DROP TABLE ${changelog} SYNC`)
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
  await sales.assertExact()
})

test('a dropped aggregate is named, and reset star is the remedy', async () => {
  await pipeline.consumer.stop()
  await sales.command('DROP TABLE sums SYNC')
  pipeline.consumer.start()
  assert.is((await pipeline.consumer.untilEnd()).code, 2)
  assert.match(pipeline.consumer.tail(), /WAREHOUSE_DAMAGED.*are gone: sums\n.*millrace reset star/)
  await pipeline.producer.stop()
  assert.is(await millrace(pipeline, 'reset', 'star', '--confirm', pipeline.name), 0)
  await sales.assertExact()
})

test('records that the broker compressed in another way stop the consumer by name, and a new generation is the remedy', async () => {
  /** @see https://kafka.apache.org/protocol.html (resource types) */
  const topicResource = 2
  const resource = { type: topicResource, name: sales.topic }
  const configEntries = [{ name: 'compression.type', value: 'lz4' }]
  await sales.withAdmin(admin =>
    admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] }),
  )
  const isStopped = async () => {
    await pipeline.sql('UPDATE sales SET amount = amount + 1')
    return pipeline.consumer.end !== undefined
  }
  await until(isStopped, { what: 'the consumer has met such records' })
  assert.is(pipeline.consumer.end?.code, 2)
  assert.match(pipeline.consumer.tail(), /BATCH_UNREADABLE.*compressed with lz4.*millrace producer --new-generation/s)
  await using next = pipeline.worker('producer', 'producer', '--new-generation')
  next.start()
  await until(async () => (await listGenerations(pipeline)).join().match(/(^|,)2 /) !== null, {
    what: 'the second has begun',
  })
  pipeline.start()
  await until(async () => /2 serving/.test((await listGenerations(pipeline)).join()), { what: 'the second serves' })
  await next.stop()
  await sales.assertExact()
})

test.run()
