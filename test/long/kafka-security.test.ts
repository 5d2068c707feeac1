// test/long/kafka-security: TLS with a verified certificate, logins by password and by certificate,
// and missing permissions.

import kafkajs, { type AclOperationTypes as Operation } from 'kafkajs'
import { deleteTopics, ensureTopic } from '../../kafka/client/admin.ts'
import { connectKafka, type KafkaConnection, type KafkaOptions } from '../../kafka/client/cluster.ts'
import { openFetcher } from '../../kafka/consumer/fetcher.ts'
import { findLastRecord } from '../../kafka/consumer/last-record.ts'
import { deleteGroup } from '../../kafka/group/coordinator.ts'
import { joinGroup } from '../../kafka/group/group.ts'
import { mayTopicsBeDeleted, whatKeepsInKafka } from '../../kafka/group/permissions.ts'
import { openProducer } from '../../kafka/producer/idempotent-producer.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { prepareCapture } from '../support/pipelines/capture-run.ts'
import { appendText, uniqueName } from '../support/servers/kafka.ts'
import { type SecureKafka, startSecureKafka } from '../support/servers/secure-kafka.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } = kafkajs
const test = suite('kafka security', { timeoutMs: 120_000 })
const signal = new AbortController().signal
const alice = { mechanism: 'plain', username: 'alice', password: 'secret' } as const
const bob = { mechanism: 'scram-sha-512', username: 'bob', password: 'secret' } as const

let secure: SecureKafka
let connection: KafkaConnection
let services: Servers

function connect(options: Partial<KafkaOptions>): Promise<KafkaConnection> {
  return connectKafka({
    brokers: [secure.broker],
    clientId: 'test',
    tls: { ca: secure.ca },
    log: quietLog(),
    ...options,
  })
}

test.before(async () => {
  secure = await startSecureKafka()
  services = await shareServers(['postgres'])
  connection = await until(() => connect({ sasl: alice }), { what: 'the secured broker', timeoutMs: 60_000 })
})

test.after(async () => {
  await connection?.close()
  await secure?.stop()
  await services?.stop()
})

test('records are written, read and committed over TLS and a login', async () => {
  const topic = uniqueName('secure')
  await ensureTopic(connection, { name: topic, partitions: 1, replication: 1, config: {} })
  const errors: Error[] = []
  const producer = await openProducer(connection, {
    topics: [{ name: topic, partitions: 1 }],
    compression: 'none',
    onDurable: () => undefined,
    onError: error => errors.push(error),
  })
  appendText(producer, 0, 'confidential')
  await producer.flush()
  await producer.close()
  const fetcher = openFetcher(connection)
  const { last } = await findLastRecord(fetcher, { topic, partition: 0 }, signal)
  assert.is(last?.value?.toString(), 'confidential')
  fetcher.close()
  const member = joinGroup(connection, { groupId: topic, groups: [{ topics: [topic], partitions: 1 }] })
  await member.awaitAssignment(signal)
  await member.commit([{ topic, partition: 0, offset: 1, metadata: '' }])
  await member.leave()
  assert.equal(errors, [])
})

test('SCRAM logs in, and the error names the permissions that its user lacks', async () => {
  const topic = uniqueName('forbidden')
  await ensureTopic(connection, { name: topic, partitions: 1, replication: 1, config: {} })
  const other = await connect({ sasl: bob })
  await assert.refuses(
    () => ensureTopic(other, { name: `${topic}-2`, partitions: 1, replication: 1, config: {} }),
    'KAFKA_DENIED',
  )
  const member = joinGroup(other, { groupId: topic, groups: [{ topics: [topic], partitions: 1 }] })
  await assert.refuses(() => member.awaitAssignment(signal), 'KAFKA_DENIED', /GROUP_AUTHORIZATION_FAILED/)
  await member.leave()
  const open = () =>
    openProducer(other, {
      topics: [{ name: topic, partitions: 1 }],
      compression: 'none',
      onDurable: () => undefined,
      onError: () => undefined,
    })
  await assert.refuses(open, 'KAFKA_DENIED', /AUTHORIZATION/)
  await other.close()
})

/** Permissions of bob for everything with this name prefix. */
async function permit(prefix: string, operations: readonly Operation[]): Promise<void> {
  const { mechanism, username, password } = alice
  const ssl = { ca: secure.ca }
  const client = new Kafka({
    brokers: [secure.broker],
    ssl,
    sasl: { mechanism, username, password },
    logLevel: logLevel.NOTHING,
  })
  const admin = client.admin()
  await admin.connect()
  const about = { principal: 'User:bob', host: '*', permissionType: AclPermissionTypes.ALLOW, resourceName: prefix }
  const acl = [AclResourceTypes.TOPIC, AclResourceTypes.GROUP].flatMap(resourceType =>
    operations.map(operation => ({
      ...about,
      resourceType,
      operation,
      resourcePatternType: ResourcePatternTypes.PREFIXED,
    })),
  )
  await admin.createAcls({ acl })
  await admin.disconnect()
}

test('topics and groups that a user may not delete are named beforehand, until the permission is granted', async () => {
  const topic = uniqueName('kept')
  await ensureTopic(connection, { name: topic, partitions: 1, replication: 1, config: {} })
  const doomed = { topics: [topic], groups: [`${topic}.fold`] }
  assert.equal(await whatKeepsInKafka(connection, { topics: [topic, 'of-nobody'], groups: doomed.groups }), [])
  await permit(topic, [AclOperationTypes.READ, AclOperationTypes.WRITE, AclOperationTypes.DESCRIBE])
  const other = await connect({ sasl: bob })
  const reasons = await whatKeepsInKafka(other, doomed)
  assert.is(reasons.length, 2)
  assert.match(reasons[0]!, `lacks DELETE on topic ${topic}; add it`)
  assert.match(reasons[1]!, `lacks DELETE on group ${topic}.fold; add it`)
  await assert.refuses(() => deleteTopics(other, [topic]), 'KAFKA_DENIED')
  await permit(topic, [AclOperationTypes.DELETE])
  await until(async () => (await whatKeepsInKafka(other, doomed)).length === 0, { what: 'the permission is known' })
  await deleteGroup(other, doomed.groups[0]!)
  await deleteTopics(other, [topic])
  await other.close()
})

test('a Kafka with delete.topic.enable=false is named beforehand', async () => {
  assert.is(await mayTopicsBeDeleted(connection), true)
  const keeping = await startSecureKafka({ 'delete.topic.enable': 'false' })
  try {
    const { broker, ca } = keeping
    const login = () => connect({ brokers: [broker], tls: { ca }, sasl: alice })
    const own = await until(login, { what: 'the broker that deletes nothing', timeoutMs: 60_000 })
    const topic = uniqueName('kept')
    await ensureTopic(own, { name: topic, partitions: 1, replication: 1, config: {} })
    assert.equal(await whatKeepsInKafka(own, { topics: [], groups: [] }), [])
    const [reason, ...others] = await whatKeepsInKafka(own, { topics: [topic], groups: [] })
    assert.match(reason!, /set delete\.topic\.enable=true/)
    assert.is(others.length, 0)
    await assert.refuses(() => deleteTopics(own, [topic]), 'KAFKA_REFUSED')
    await own.close()
  } finally {
    await keeping.stop()
  }
})

test('a wrong password, an unknown certificate and missing TLS give different errors', async () => {
  await assert.refuses(() => connect({ sasl: { ...alice, password: 'wrong' } }), 'KAFKA_DENIED')
  await assert.refuses(() => connect({ sasl: { ...bob, password: 'wrong' } }), 'KAFKA_DENIED')
  await assert.refuses(() => connect({ tls: true, sasl: alice }), 'KAFKA_UNREACHABLE', /certificate/)
  await assert.refuses(() => connect({ tls: false, sasl: alice }), 'KAFKA_UNREACHABLE')
})

test('broker addresses in metadata never lead to an unencrypted connection to another machine', async () => {
  const plain = { brokers: [secure.plain], tls: false }
  const strict = await connect(plain)
  const topic = { name: uniqueName('elsewhere'), partitions: 1, replication: 1, config: {} }
  await ensureTopic(connection, topic)
  const fetcher = openFetcher(strict)
  await assert.refuses(() => fetcher.endOffsets(topic.name), 'CONFIG_INVALID', /unencrypted to broker\.example/)
  fetcher.close()
  await strict.close()
})

/** A producer process with these Kafka settings, which has sent one row into its topic. */
async function capture(kafka: object): Promise<void> {
  const setup = 'CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL'
  await using run = await prepareCapture(services, { setup, kafka: { ...kafka, partitions: 1 } })
  run.worker.start()
  await run.sql('INSERT INTO t VALUES (1)')
  await run.settle()
}

test('a producer reads the certificate authority from the file that its configuration names', async () => {
  const sasl = { ...alice }
  await capture({ brokers: [secure.broker], tls: { ca: secure.caFile }, sasl })
})

test('a producer shows a client certificate where the broker wants one', async () => {
  const { certificate: cert, key } = secure.client
  await capture({ brokers: [secure.mutual], tls: { ca: secure.caFile, cert, key } })
  await assert.refuses(() => connect({ brokers: [secure.mutual] }), 'KAFKA_UNREACHABLE')
})

test.run()
