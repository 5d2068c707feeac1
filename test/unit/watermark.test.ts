// test/unit/watermark.test: when the consumer may publish a watermark, and how many it keeps while
// the tables are behind.
// Nothing is written to ClickHouse.

import { connectClickhouse } from '../../clickhouse/client.ts'
import { isCovered, WatermarkFollower } from '../../consumer/warehouse/watermark.ts'
import { type Generation, generationFormat } from '../../contract/generation.ts'
import { recordSetOf } from '../support/fixtures/record-set.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('watermark')

const tables = Array.from({ length: 10 }, (_, index) => {
  return { schema: 'public', table: `t${index}`, topic: `t${index}`, group: `g${index}`, partitions: 4 }
})
const about = { format: generationFormat, number: 1, id: 'x', state: 'live', slot: 's', source: '7/x' } as const
const rules = { timeline: 1, maxRecordBytes: 1_000_000, refusalRules: 1 }
const generation: Generation = { ...about, ...rules, kafkaCluster: 'K', consistentPoint: 1, tables }

test('a backlog of hours keeps a few hundred watermarks, from its beginning to its end', () => {
  const clickhouse = connectClickhouse({ url: 'http://127.0.0.1:1', user: 'default', password: '' })
  const follower = new WatermarkFollower(clickhouse, generation, async () => {})
  for (let turn = 0; turn < 400; turn++) {
    const values = Array.from({ length: 50 }, (_, index) => {
      const at = turn * 50 + index
      return Buffer.from(
        JSON.stringify({
          ...{ lsn: at, commitTimeUs: at + 1, timeline: 1, letters: 0 },
          offsets: tables.map(() => new Array<number>(4).fill(at)),
        }),
      )
    })
    assert.is(follower.add(recordSetOf(values)), 0)
  }
  assert.ok(follower.pending <= 256, `${follower.pending} are kept`)
  assert.ok(follower.pending >= 128)
  assert.is(follower.newest?.lsn, 19_999)
})

test('a watermark may be published once each partition is visible up to the offset that it names, and no earlier', () => {
  const two = [{ topic: 'orders' }, { topic: 'items' }]
  const watermark = { offsets: [[5, 0], [9]] }
  const covered = (orders: readonly [number, number], items: number) =>
    isCovered(watermark, two, (topic, partition) => (topic === 'orders' ? orders[partition as 0 | 1] : items))
  assert.ok(covered([5, 0], 9))
  assert.ok(covered([6, 2], 10))
  assert.not(covered([4, 0], 9))
  assert.not(covered([5, 0], 8))
  assert.not(covered([100, 100], 0))
})

test.run()
