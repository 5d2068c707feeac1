// test/unit/bounds.test: buffers and requests are bounded, however long a process runs.

import { AvroContainer } from '../../clickhouse/avro-file.ts'
import { KafkaConnection } from '../../kafka/client/cluster.ts'
import { createLog } from '../../runtime/log.ts'
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
