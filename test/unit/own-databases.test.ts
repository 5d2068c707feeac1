// test/unit/own-databases.test: records and databases that do not belong together are reported.

import { otherClusterHint, requireOwnDatabases } from '../../consumer/warehouse/own-databases.ts'
import { type Generation, generationFormat } from '../../contract/generation.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('own databases')

function generation(number: number, more: Partial<Generation> = {}): Generation {
  const about = { format: generationFormat, number, id: `id${number}`, state: 'live', slot: `shop_${number}` } as const
  const place = { source: '7/x', timeline: 1, kafkaCluster: 'K1', consistentPoint: 1 }
  return { ...about, ...place, maxRecordBytes: 1_000_000, refusalRules: 1, tables: [], ...more }
}

function database(number: number, more: Partial<Generation> = {}) {
  const { id, source, kafkaCluster } = generation(number, more)
  return { number, name: `shop_${number}`, bytes: 1, owner: { pipeline: 'shop', number, id, source, kafkaCluster } }
}

const check = (generations: Generation[], databases: ReturnType<typeof database>[]) =>
  requireOwnDatabases({ pipeline: 'shop', kafkaCluster: 'K1', generations, databases })

test('databases of recorded generations belong to the pipeline, dropped or not; databases of others are ignored', () => {
  check([], [])
  check([generation(1, { state: 'dropped' }), generation(2)], [database(1), database(2)])
  check([generation(1)], [database(1), database(7, { kafkaCluster: 'K2' })])
  check([generation(1)], [{ ...database(2), owner: { ...database(2).owner, pipeline: 'other' } }])
})

test('a database without a generation record, or with the record of another generation of its number, is named', async () => {
  const lost = await assert.refuses(
    () => check([], [database(1), database(2)]),
    'GENERATION_UNKNOWN',
    /database shop_2/,
  )
  assert.match(lost.next, /reset topics/)
  const counted = () => check([generation(1, { id: 'another' })], [database(1)])
  await assert.refuses(counted, 'GENERATION_UNKNOWN', /generation 1, id id1,/)
})

test('records of another Kafka cluster are not resumed', async () => {
  const moved = () => check([generation(1, { kafkaCluster: 'K9' })], [])
  await assert.refuses(moved, 'GENERATION_CHANGED', /made in the Kafka cluster K9/)
  check([generation(1, { kafkaCluster: 'K9', state: 'dropped' })], [])
})

test('a Kafka without generations is an error when a database was filled from another Kafka', () => {
  const doubt = (generations: Generation[], databases: ReturnType<typeof database>[]) =>
    otherClusterHint({ pipeline: 'shop', kafkaCluster: 'K1', generations, databases })
  const moved = database(1, { kafkaCluster: 'K2' })
  assert.match(doubt([], [moved])!, 'database shop_1 was loaded from the cluster K2; is kafka.brokers right?')
  assert.equal(
    [doubt([generation(1)], [moved]), doubt([], [database(1)]), doubt([], [])],
    [undefined, undefined, undefined],
  )
})

test.run()
