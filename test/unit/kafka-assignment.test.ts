// test/unit/kafka-assignment: partitions are assigned evenly, stay with their owner where possible,
// and joined ones stay together.

import fc from 'fast-check'
import {
  assign,
  decodeAssignment,
  decodeOwned,
  encodeAssignment,
  encodeSubscription,
  type TopicPartition,
} from '../../kafka/group/assignment.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('kafka assignment')
const groups = [
  { topics: ['orders', 'items'], partitions: 4 },
  { topics: ['customers'], partitions: 3 },
]

const names = (partitions: readonly TopicPartition[] = []) => partitions.map(p => `${p.topic}/${p.partition}`).sort()

test('every partition has one owner, joined topics share it, and numbers of partitions differ by one at most', () => {
  const ids = fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 6 })
  const counts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(ids, counts, (members, partitionCounts) => {
      const given = partitionCounts.map((partitions, i) => ({ topics: [`a${i}`, `b${i}`], partitions }))
      const shares = assign(
        members.map(id => ({ id, owned: [] })),
        given,
      )
      const all = [...shares.values()].flatMap(names)
      assert.equal(
        all.sort(),
        given
          .flatMap(({ topics, partitions }) =>
            topics.flatMap(topic => Array.from({ length: partitions }, (_, p) => `${topic}/${p}`)),
          )
          .sort(),
      )
      const totals = [...shares.values()].map(share => share.length / 2)
      assert.ok(Math.max(...totals) - Math.min(...totals) <= 1)
      for (const share of shares.values())
        for (const { topic, partition } of share)
          assert.ok(share.some(other => other.topic === topic.replace('a', 'b') && other.partition === partition))
    }),
  )
})

test('members keep what they owned when another joins', () => {
  const alone = assign([{ id: 'm', owned: [] }], groups).get('m')!
  const shares = assign(
    [
      { id: 'a new one', owned: [] },
      { id: 'm', owned: alone },
    ],
    groups,
  )
  assert.equal(names(shares.get('m')).slice(0, 1), ['customers/0'])
  assert.equal(
    names(shares.get('m')).filter(name => name.startsWith('orders')),
    ['orders/0', 'orders/1'],
  )
})

test('the assignment does not depend on the order of members', () => {
  const members = ['c', 'a', 'b'].map(id => ({ id, owned: [{ topic: 'orders', partition: 1 }] }))
  const forwards = assign(members, groups)
  const backwards = assign(members.toReversed(), groups)
  for (const id of ['a', 'b', 'c']) assert.equal(forwards.get(id), backwards.get(id))
})

test('subscriptions and assignments survive encoding and decoding', () => {
  const owned = [
    { topic: 'orders', partition: 2 },
    { topic: 'items', partition: 2 },
    { topic: 'orders', partition: 3 },
  ]
  assert.equal(decodeOwned(encodeSubscription(['orders', 'items'], owned)), owned)
  const decoded = decodeAssignment(encodeAssignment({ partitions: owned, members: 3 }))
  assert.equal([names(decoded.partitions), decoded.members], [names(owned), 3])
  assert.equal(decodeAssignment(Buffer.alloc(0)), { partitions: [], members: 0 })
})

test.run()
