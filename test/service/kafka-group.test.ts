// test/service/kafka-group: members of one group share partitions, and commits of a past generation
// are refused.

import { Kafka, logLevel } from 'kafkajs'
import { deleteTopics, ensureTopic, ensureTopics, listTopics } from '../../kafka/client/admin.ts'
import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import { joinGroup, type Membership, type TopicPartition } from '../../kafka/group/group.ts'
import { type KafkaProxy, startKafkaProxy } from '../support/faults/kafka-proxy.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { connectTo, makeTopic, uniqueName } from '../support/servers/kafka.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('kafka group', { timeoutMs: 120_000 })
const signal = new AbortController().signal
const heartbeat = 12
const offsetCommit = 8

let services: Services
let proxy: KafkaProxy
let first: KafkaConnection
let second: KafkaConnection
let joined: { orders: string; items: string; other: string }
const members: Membership[] = []

test.before(async () => {
  services = await startServices(['kafka'])
  proxy = await startKafkaProxy(services.endpoints.kafka!)
  first = await connectTo(proxy.address)
  second = await connectTo(services.endpoints.kafka!)
  joined = { orders: await makeTopic(second, 4), items: await makeTopic(second, 4), other: await makeTopic(second, 3) }
})

test.after(async () => {
  await first?.close()
  await second?.close()
  await proxy?.close()
  await services?.stop()
})

test.after.each(async () => {
  proxy.decide = () => 'pass'
  for (const member of members.splice(0)) await member.leave()
})

function join(connection: KafkaConnection, groupId: string, sessionTimeoutMs = 10_000): Membership {
  const { orders, items, other } = joined
  const groups = [
    { topics: [orders, items], partitions: 4 },
    { topics: [other], partitions: 3 },
  ]
  const member = joinGroup(connection, { groupId, groups, sessionTimeoutMs })
  members.push(member)
  return member
}

function numbers(member: Membership, topic: string): number[] {
  return member.partitions.filter(owned => owned.topic === topic).map(({ partition }) => partition)
}

function commitOf(
  topic: string,
  partition: number,
  offset: number,
  metadata = '',
): TopicPartition & { offset: number; metadata: string } {
  return { topic, partition, offset, metadata }
}

test('two members share partitions evenly, and equal partitions of joined topics have one owner', async () => {
  const { orders, items, other } = joined
  const groupId = uniqueName('group')
  const a = join(first, groupId)
  await a.awaitAssignment(signal)
  assert.is(a.partitions.length, 11)
  assert.ok(a.soleMember)
  const b = join(second, groupId)
  await until(() => a.generationId === -1, { what: 'the first member to be asked for partitions' })
  const [generationA, generationB] = await Promise.all([a.awaitAssignment(signal), b.awaitAssignment(signal)])
  assert.is(generationA, generationB)
  assert.is(a.soleMember, false)
  assert.equal([...numbers(a, orders), ...numbers(b, orders)].sort(), [0, 1, 2, 3])
  assert.is(numbers(a, orders).length, 2)
  assert.is(Math.abs(numbers(a, other).length - numbers(b, other).length), 1)
  for (const member of [a, b]) assert.equal(numbers(member, items), numbers(member, orders))
  await b.leave()
  await until(() => a.generationId === -1, { what: 'the first member to be asked again' })
  await a.awaitAssignment(signal)
  assert.is(a.partitions.length, 11)
})

test('commits carry metadata, and are read for any partition', async () => {
  const { orders, other } = joined
  const a = join(first, uniqueName('group'))
  await a.awaitAssignment(signal)
  await a.commit([commitOf(orders, 1, 5, 'progress 1'), commitOf(other, 2, 2 ** 40, 'progress 2')])
  assert.equal(
    await a.committed([
      { topic: other, partition: 2 },
      { topic: orders, partition: 0 },
      { topic: orders, partition: 1 },
    ]),
    [commitOf(other, 2, 2 ** 40, 'progress 2'), commitOf(orders, 0, -1), commitOf(orders, 1, 5, 'progress 1')],
  )
})

test('metadata that is too long is refused, with the setting to change', async () => {
  const a = join(first, uniqueName('group'))
  await a.awaitAssignment(signal)
  const commit = commitOf(joined.orders, 0, 1, 'x'.repeat(5000))
  await assert.refuses(() => a.commit([commit]), 'KAFKA_REFUSED', /offset\.metadata\.max\.bytes/)
})

test('started work may be committed during a rebalance, but not once other members own the partitions', async () => {
  const { orders } = joined
  const groupId = uniqueName('group')
  const a = join(first, groupId)
  await a.awaitAssignment(signal)
  const b = join(second, groupId)
  const taken = b.awaitAssignment(signal)
  await until(() => a.generationId === -1, { what: 'the revocation' })
  assert.is(a.ownsPartitions(), false)
  await a.commit([commitOf(orders, 0, 7, 'begun before')])
  const assigned = a.awaitAssignment(signal)
  await taken
  await assigned
  assert.equal(await b.committed([{ topic: orders, partition: 0 }]), [commitOf(orders, 0, 7, 'begun before')])
})

test('a disconnected member is fenced by its own clock and by the coordinator', async () => {
  const { orders } = joined
  const groupId = uniqueName('group')
  const a = join(first, groupId, 6_000)
  await a.awaitAssignment(signal)
  await a.commit([commitOf(orders, 0, 1, 'mine')])
  const b = join(second, groupId, 6_000)
  proxy.decide = apiKey => (apiKey === heartbeat || apiKey === offsetCommit ? 'lose' : 'pass')
  const taken = b.awaitAssignment(signal)
  await until(() => !a.ownsPartitions(), { what: 'the cut off member to doubt its ownership' })
  await taken
  await b.commit([commitOf(orders, 0, 2, 'theirs')])
  proxy.decide = () => 'pass'
  await assert.refuses(() => a.commit([commitOf(orders, 0, 1, 'stale')]), 'FENCED')
  assert.equal(await b.committed([{ topic: orders, partition: 0 }]), [commitOf(orders, 0, 2, 'theirs')])
})

test('membership survives the broker being killed and started again', async () => {
  const { orders } = joined
  const a = join(second, uniqueName('group'))
  await a.awaitAssignment(signal)
  await a.commit([commitOf(orders, 3, 9, 'kept')])
  await services.kill('kafka')
  await services.restart()
  const commitAgain = async () => {
    if (a.generationId === -1) await a.awaitAssignment(signal)
    await a.commit([commitOf(orders, 2, 4, 'after')])
    return true
  }
  await until(commitAgain, { what: 'a commit after the restart', timeoutMs: 60_000 })
  const partitions = [2, 3].map(partition => ({ topic: orders, partition }))
  assert.equal(await a.committed(partitions), [commitOf(orders, 2, 4, 'after'), commitOf(orders, 3, 9, 'kept')])
})

test('a topic must have the number of partitions that it was created with, alone in its group or beside others', async () => {
  const { orders, other } = joined
  for (const topics of [[orders, other], [other]]) {
    const member = joinGroup(first, { groupId: uniqueName('group'), groups: [{ topics, partitions: 4 }] })
    members.push(member)
    await assert.refuses(() => member.awaitAssignment(signal), 'TOPIC_PARTITIONS_CHANGED', /3 partitions, not 4/)
  }
})

test('partitions added to a topic are noticed at the next rebalance', async () => {
  const topic = await makeTopic(second, 1)
  const groupId = uniqueName('group')
  const groups = [{ topics: [topic], partitions: 1 }]
  const a = joinGroup(first, { groupId, groups })
  members.push(a)
  await a.awaitAssignment(signal)
  const kafka = new Kafka({ brokers: [services.endpoints.kafka!], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  await admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] })
  await admin.disconnect()
  members.push(joinGroup(second, { groupId, groups }))
  await until(() => a.generationId === -1, { what: 'the first member to be asked again' })
  await assert.refuses(() => a.awaitAssignment(signal), 'TOPIC_PARTITIONS_CHANGED', /2 partitions, not 1/)
})

test('topics are created once, compared, listed and deleted', async () => {
  const name = uniqueName('admin')
  const spec = { name, partitions: 2, replication: 1, config: { 'retention.ms': '-1', 'cleanup.policy': 'compact' } }
  assert.equal(await ensureTopic(first, spec), { isNew: true, drift: [] })
  assert.equal(await ensureTopic(first, spec), { isNew: false, drift: [] })
  const changed = { ...spec, config: { 'retention.ms': '5' } }
  const drift = [{ name: 'retention.ms', wanted: '5', found: '-1' }]
  assert.equal(await ensureTopic(first, changed), { isNew: false, drift })
  await assert.refuses(() => ensureTopic(first, { ...spec, partitions: 3 }), 'TOPIC_PARTITIONS_CHANGED')
  await assert.refuses(
    () => ensureTopic(first, { ...spec, name: `${name}-2`, replication: 7 }),
    'KAFKA_REFUSED',
    /REPLICATION/,
  )
  assert.equal(await listTopics(first, name), [name])
  await deleteTopics(first, [name, `${name}-unknown`])
  assert.equal(await listTopics(first, name), [])
})

test('many topics are created together, beside existing ones, and a refused one is named', async () => {
  const name = uniqueName('many')
  const spec = (index: number) => ({
    name: `${name}-${index}`,
    partitions: 2,
    replication: 1,
    config: { 'retention.ms': '5' },
  })
  await ensureTopic(first, { ...spec(0), config: { 'retention.ms': '6' } })
  const specs = Array.from({ length: 120 }, (_, index) => spec(index))
  const ensured = await ensureTopics(first, specs)
  assert.equal(ensured[0], { isNew: false, drift: [{ name: 'retention.ms', wanted: '5', found: '6' }] })
  assert.ok(ensured.slice(1).every(({ isNew, drift }) => isNew && drift.length === 0))
  assert.is((await listTopics(first, name)).length, 120)
  const refused = [spec(200), { ...spec(201), replication: 7 }]
  const error = await assert.refuses(() => ensureTopics(first, refused), 'KAFKA_REFUSED', /REPLICATION/)
  assert.match(`${error.message} ${error.where}`, `${name}-201`)
  await deleteTopics(first, await listTopics(first, name))
})

test('deleted topics are gone when the call is over, not some time later', async () => {
  for (let round = 0; round < 20; round++) {
    const name = uniqueName('deleted')
    await ensureTopic(first, { name, partitions: 8, replication: 1, config: {} })
    await deleteTopics(first, [name])
    assert.equal(await listTopics(first, name), [], `round ${round}`)
  }
})

test.run()
