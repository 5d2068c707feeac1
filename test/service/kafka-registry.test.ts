// test/service/kafka-registry: schemas in a topic: concurrent writers, the HTTP endpoints, and an
// external registry.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Kafka, logLevel } from 'kafkajs'
import { loadTargetTables } from '../../consumer/records/tables.ts'
import { type Generation, generationFormat, generationsTopic, generationTopics } from '../../contract/generation.ts'
import { valueSchema } from '../../contract/schema.ts'
import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import { readCompacted } from '../../kafka/consumer/compacted-topic.ts'
import { openFetcher } from '../../kafka/consumer/fetcher.ts'
import { readGenerations, writeGeneration } from '../../kafka/generations-topic.ts'
import { openProducer } from '../../kafka/producer/idempotent-producer.ts'
import { HttpRegistry } from '../../kafka/registry/http-registry.ts'
import { openSchemaStore } from '../../kafka/registry/registry.ts'
import { registryRoutes } from '../../kafka/registry/registry-server.ts'
import { recordKey, recordValue } from '../../kafka/registry/schema-catalog.ts'
import { openTopicRegistry } from '../../kafka/registry/topic-registry.ts'
import { ensureGenerationsTopic, ensureGenerationTopics } from '../../producer/write/topics.ts'
import { configSchema } from '../../runtime/config/schema.ts'
import type { MillraceError } from '../../runtime/errors.ts'
import { type HttpServer, serve } from '../../runtime/http.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { connectTo, preferOnBroker, readTopic, settingOf, uniqueName } from '../support/servers/kafka.ts'
import { quietLog, type Services, startServices } from '../support/servers/services.ts'
import { appendRecords } from '../support/servers/topic.ts'

const test = suite('kafka registry', { timeoutMs: 120_000 })

let services: Services
let connection: KafkaConnection
let server: HttpServer
let closeServed: () => Promise<void>

test.before(async () => {
  services = await startServices(['kafka'])
  connection = await connectTo(services.endpoints.kafka!)
  const served = await openTopicRegistry(connection)
  closeServed = () => served.close()
  server = await serve({ host: '127.0.0.1', port: 0, routes: registryRoutes(served), log: quietLog() })
})

test.after(async () => {
  await server?.close()
  await closeServed?.()
  await connection?.close()
  await services?.stop()
})

function recordSchema(field: string): string {
  return JSON.stringify({ type: 'record', name: 'R', fields: [{ name: field, type: 'long' }] })
}

test('a schema has one id, for every client and at every request', async () => {
  const store = await openSchemaStore(connection, undefined)
  const subject = uniqueName('subject')
  const id = await store.register(subject, recordSchema('a'))
  assert.is(await store.register(subject, recordSchema('a')), id)
  assert.is(await store.register(`${subject}-other`, recordSchema('a')), id)
  const second = await store.register(subject, recordSchema('b'))
  assert.ok(second > id)
  assert.equal(await store.latest(subject), { id: second, version: 2, schema: recordSchema('b') })
  await store.close()
  const later = await openSchemaStore(connection, undefined)
  assert.is(await later.byId(id), recordSchema('a'))
  assert.is(await later.register(subject, recordSchema('a')), id)
  assert.is(await later.latest(`${subject}-none`), undefined)
  assert.is(await later.byId(987_654), undefined)
  await later.close()
})

test('a newest schema of another table is named, and ignored once it is deleted', async () => {
  const store = await openSchemaStore(connection, undefined)
  const about = { schema: 'public', table: 't', topic: uniqueName('topic'), partitions: 1, group: 't' }
  const subject = `${about.topic}-value`
  const load = async () => (await loadTargetTables([about], store, () => ({ onError: 'stop', history: false })))[0]!
  const id = { name: 'id', pgType: 'integer', encoding: 'int', nullable: false } as const
  const own = { schema: 'public', name: 't', columns: [id], key: ['id'], partitionKey: ['id'] }
  await assert.refuses(load, 'SCHEMA_MISSING')
  await store.register(subject, JSON.stringify(valueSchema(own)))
  assert.equal((await load()).table, own)
  const foreign = {
    'was not registered by millrace': [recordSchema('a'), '"string"', 'message R { int64 id = 1; }'],
    'is of table public.other': [JSON.stringify(valueSchema({ ...own, name: 'other' }))],
  }
  let version = 1
  for (const [found, schemas] of Object.entries(foreign)) {
    for (const schema of schemas) {
      const id = await store.register(subject, schema)
      version++
      const error = await assert.refuses(load, 'GENERATION_CHANGED')
      assert.is(error.message, `version ${version} of subject ${subject}, the newest, ${found}`)
      assert.match(error.next, /delete that version in the schema registry/)
      const key = Buffer.from(recordKey({ subject, version }))
      const value = Buffer.from(recordValue({ subject, version, id, schema, deleted: true }))
      await appendRecords(services.endpoints.kafka!, '_schemas', [{ partition: 0, key, value }])
      const again = await openSchemaStore(connection, undefined)
      assert.is((await again.latest(subject))?.version, 1)
      await again.close()
      assert.equal((await load()).table, own)
    }
  }
  await store.close()
})

test('concurrent writers never share an id, even in one subject', async () => {
  const stores = await Promise.all(Array.from({ length: 4 }, () => openSchemaStore(connection, undefined)))
  const subject = uniqueName('race')
  const register = async (store: (typeof stores)[number], writer: number) => {
    const ids = new Map<number, string>()
    for (let i = 0; i < 8; i += 1) {
      const schema = recordSchema(`${i % 2 === 0 ? 'same' : `own${writer}`}_${i}`)
      ids.set(await store.register(i < 4 ? subject : `${subject}-${writer}`, schema), schema)
    }
    return ids
  }
  const registered = await Promise.all(stores.map(register))
  const fresh = await openSchemaStore(connection, undefined)
  for (const ids of registered) for (const [id, schema] of ids) assert.is(await fresh.byId(id), schema)
  await Promise.all([...stores, fresh].map(store => store.close()))
})

test("records in the topic have the registry's own format", async () => {
  const store = await openSchemaStore(connection, undefined)
  const subject = uniqueName('format')
  const id = await store.register(subject, recordSchema('f'))
  await store.close()
  const [records] = await readTopic(services.endpoints.kafka!, '_schemas', 1)
  const last = records!.findLast(({ key }) => key?.includes(subject))
  assert.is(last?.key, `{"keytype":"SCHEMA","subject":"${subject}","version":1,"magic":1}`)
  const value = { subject, version: 1, id, schema: recordSchema('f'), deleted: false }
  assert.equal(JSON.parse(last?.value ?? ''), value)
})

test('the served endpoints answer as a registry does', async () => {
  const store = await openSchemaStore(connection, undefined)
  const subject = `${uniqueName('served')}/ä`
  const id = await store.register(subject, recordSchema('s'))
  await store.close()
  const get = async (path: string) => {
    const response = await fetch(`${server.url}${path}`)
    return { status: response.status, body: JSON.parse(await response.text()) }
  }
  const escaped = encodeURIComponent(subject)
  assert.equal(await get(`/schemas/ids/${id}`), { status: 200, body: { schema: recordSchema('s') } })
  assert.equal(await get(`/subjects/${escaped}/versions`), { status: 200, body: [1] })
  const version = { subject, id, version: 1, schema: recordSchema('s') }
  assert.equal(await get(`/subjects/${escaped}/versions/latest`), { status: 200, body: version })
  assert.equal(await get(`/subjects/${escaped}/versions/1`), { status: 200, body: version })
  assert.equal((await get(`/subjects/${escaped}/versions/1/schema`)).body, JSON.parse(recordSchema('s')))
  assert.ok((await get('/subjects')).body.includes(subject))
  assert.equal((await get('/schemas/types')).body, ['AVRO'])
  for (const [path, status, code] of [
    ['/schemas/ids/999999', 404, 40403],
    ['/subjects/none/versions', 404, 40401],
    ['/subjects/none/versions/latest', 404, 40401],
    [`/subjects/${escaped}/versions/9`, 404, 40402],
    [`/subjects/${escaped}/versions/zero`, 422, 42202],
  ] as const) {
    const answer = await get(path)
    assert.equal([answer.status, answer.body.error_code], [status, code])
  }
})

test('an external registry is read over HTTP', async () => {
  const store = await openSchemaStore(connection, undefined)
  const subject = uniqueName('http')
  const id = await store.register(subject, recordSchema('h'))
  await store.close()
  const external = new HttpRegistry(server.url)
  assert.is(await external.byId(id), recordSchema('h'))
  assert.equal((await external.latest(subject))?.id, id)
  assert.is(await external.latest('none'), undefined)
  assert.is(await external.byId(999_999), undefined)
})

test('schemas are read back unchanged under any broker settings, clock and number of tables', async () => {
  const admin = new Kafka({ brokers: [services.endpoints.kafka!], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const { now } = Date
  const unclean = 'unclean.leader.election.enable'
  await preferOnBroker(admin, { 'compression.type': 'lz4', 'message.max.bytes': '100000', [unclean]: 'true' })
  const config = configSchema.parse({ name: uniqueName('codec').replace('-', '_') })
  const table = (index: number) => ({
    schema: 'public',
    table: `t${index}`,
    topic: `${config.name}.1.public.t${index}`,
  })
  const one = { ...table(0), partitions: 1, group: 'public.t0' }
  const generation: Generation = {
    ...{ format: generationFormat, number: 1, id: 'id', state: 'loading', slot: 's', source: 'x/y', kafkaCluster: 'k' },
    ...{ timeline: 1, maxRecordBytes: 1_000_000, refusalRules: 1 },
    ...{ consistentPoint: 0, tables: Array.from({ length: 10_000 }, (_, index) => ({ ...one, ...table(index) })) },
  }
  const fetcher = openFetcher(connection)
  const { signal } = new AbortController()
  try {
    await ensureGenerationsTopic(connection, config)
    Date.now = () => now() + 7_200_000
    await writeGeneration(connection, config.name, generation)
    assert.equal(await readGenerations(fetcher, config.name, signal), [generation])
    const small = { ...generation, tables: [one] }
    await ensureGenerationTopics(connection, config, small, signal)
    const value = Buffer.alloc(1_000_000, 'offsets')
    for (const topic of generationTopics(config.name, small)) {
      const topics = [{ name: topic, partitions: topic.endsWith('dead-letters') ? 2 : 1 }]
      const options = { topics, compression: 'none', onDurable: () => {}, onError: () => {} } as const
      const producer = await openProducer(connection, options)
      producer.append(0, 0, value, 0, 7, 0, value.length)
      await producer.flush()
      await producer.close()
      assert.equal([...(await readCompacted(fetcher, topic, signal)).values()], [value.toString()])
    }
    Date.now = now
    const made = [generationsTopic(config.name), ...generationTopics(config.name, small)]
    assert.equal(new Set(await settingOf(admin, made, unclean)), new Set(['false']))
    const store = await openSchemaStore(connection, undefined)
    const id = await store.register(config.name, recordSchema('codec'))
    await store.close()
    const again = await openSchemaStore(connection, undefined)
    assert.is(await again.byId(id), recordSchema('codec'))
    await again.close()
  } finally {
    Date.now = now
    fetcher.close()
    await preferOnBroker(admin, {})
    await admin.disconnect()
  }
})

test('a refusal and an unreachable external registry give different errors', async () => {
  const asked: { url: string; body: string; authorization: string | undefined }[] = []
  const answers = [
    { status: 200, body: { id: 7 } },
    { status: 409, body: { error_code: 409, message: 'incompatible' } },
    { status: 503, body: { error_code: 50003, message: 'no leader' } },
    { status: 401, body: { error_code: 40101, message: 'Unauthorized' } },
  ]
  const registry = createServer(async (request, response) => {
    const chunks = await request.toArray()
    const { authorization } = request.headers
    asked.push({ url: request.url!, body: Buffer.concat(chunks).toString(), authorization })
    const { status, body } = answers.shift()!
    response.writeHead(status).end(JSON.stringify(body))
  })
  registry.listen(0, '127.0.0.1')
  await once(registry, 'listening')
  const { port } = registry.address() as AddressInfo
  const external = new HttpRegistry(`http://user:p%40ss@127.0.0.1:${port}/base`)
  assert.is(await external.register('a/b', recordSchema('x')), 7)
  assert.equal(asked[0], {
    url: '/base/subjects/a%2Fb/versions',
    body: JSON.stringify({ schemaType: 'AVRO', schema: recordSchema('x') }),
    authorization: `Basic ${Buffer.from('user:p@ss').toString('base64')}`,
  })
  const conflict = await assert.refuses(() => external.register('s', '"long"'), 'REGISTRY_REFUSED', /incompatible/)
  assert.match(conflict.next, /compatibility/)
  await assert.refuses(() => external.latest('s'), 'REGISTRY_UNREACHABLE', /no leader/)
  await assert.refuses(() => external.latest('s'), 'REGISTRY_REFUSED', /Unauthorized/)
  registry.close()
  registry.closeAllConnections()
  await once(registry, 'close')
  const unreachable = await assert.refuses(() => external.latest('s'), 'REGISTRY_UNREACHABLE')
  assert.not.match(unreachable.toText(), /p%40ss|p@ss/)
})

// This test is the last: nobody can read the topic after it.
test('schemas that the broker compressed in another way are an error that points to an external registry', async () => {
  const admin = new Kafka({ brokers: [services.endpoints.kafka!], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  /** @see https://kafka.apache.org/protocol.html (resource types) */
  const topic = 2
  const configEntries = [{ name: 'compression.type', value: 'lz4' }]
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: topic, name: '_schemas', configEntries }] })
  await admin.disconnect()
  const served = await openTopicRegistry(connection)
  // Brokers apply a setting some time after they have confirmed it.
  const failure = await until(
    () =>
      served.register('compressed', recordSchema(uniqueName('field').replace('-', '_'))).then(
        () => undefined,
        error => error as MillraceError,
      ),
    { what: 'a schema is compressed' },
  )
  await served.close()
  assert.is(failure.code, 'BATCH_UNREADABLE')
  const again = await assert.refuses(() => openTopicRegistry(connection), 'BATCH_UNREADABLE', /compressed with lz4/)
  assert.match(again.next, /kafka\.registry/)
})

test.run()
