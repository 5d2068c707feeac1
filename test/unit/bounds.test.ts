// test/unit/bounds.test: buffers and requests are bounded, however long a process runs.

import { AvroContainer } from '../../clickhouse/avro-file.ts'
import { cutBatches, mostPartitions } from '../../consumer/records/batch.ts'
import type { Slice } from '../../consumer/records/slice.ts'
import { TargetTable } from '../../consumer/records/tables.ts'
import type { Table } from '../../contract/table.ts'
import { KafkaConnection } from '../../kafka/client/cluster.ts'
import { createLog } from '../../runtime/log.ts'
import { recordSetOf } from '../support/fixtures/record-set.ts'
import { bytesInUse } from '../support/harness/memory.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('bounds')

test('the buffer of a table is released after a large batch, and kept after a small one', () => {
  const container = new AvroContainer('"bytes"')
  const body = () => container.chunks()[3]!.buffer.byteLength
  const append = (bytes: number) => container.append(0, 0, Buffer.alloc(bytes), 0, bytes)
  append(100_000)
  const small = body()
  container.reset()
  assert.is(body(), small)
  append(12_000_000)
  assert.ok(body() > 12_000_000)
  container.reset()
  assert.ok(body() < 100_000, `${body()} bytes are kept`)
})

test('no batch has more partitions than one commit allows, and partitions of one number stay together', () => {
  const columns = [{ name: 'id', pgType: 'integer', encoding: 'int', nullable: false }] as const
  const tables = ['orders', 'items', 'notes'].map((name, place) => {
    const table: Table = { schema: 'public', name, columns, key: ['id'], partitionKey: ['id'] }
    const about = { schema: 'public', table: name, topic: name, partitions: 1_500, group: 'shop', place }
    const schemas = { byId: async () => undefined } as never
    return [name, new TargetTable(about, { table, schemas, options: { onError: 'stop', history: false } })] as const
  })
  const records = recordSetOf([Buffer.alloc(8)])
  const about = {
    start: 0,
    end: 1,
    records,
    from: 0,
    to: 1,
    truncate: false,
    foreign: new Map(),
    lastPosition: undefined,
  }
  const slices: Slice[] = tables.flatMap(([topic]) =>
    Array.from({ length: 1_500 }, (_, partition) => ({ topic, partition, ...about })),
  )
  const batches = cutBatches(slices, new Map(tables))
  assert.is(new Set(batches.map(({ name }) => name)).size, batches.length)
  assert.is(batches.flatMap(batch => batch.slices).length, slices.length)
  const home = new Map<number, number>()
  for (const [index, batch] of batches.entries()) {
    assert.ok(batch.slices.length <= mostPartitions, `${batch.slices.length} partitions`)
    for (const { partition } of batch.slices) {
      assert.is(home.get(partition) ?? index, index)
      home.set(partition, index)
    }
  }
})

test('closed connections of a user are not kept', async () => {
  const log = createLog('test', 'error')
  const connection = new KafkaConnection({ brokers: ['127.0.0.1:1'], clientId: 'test', tls: false, log })
  const open = (times: number) => {
    for (let left = times; left > 0; left--) connection.openConnections().close()
  }
  open(1_000)
  const before = await bytesInUse()
  open(50_000)
  const grown = (await bytesInUse()) - before
  assert.ok(grown < 2_000_000, `${grown} bytes more`)
})

test.run()
