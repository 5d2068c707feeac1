// test/service/kafka-fetch-session: a fetcher that follows partitions: with a session at the
// broker, after losing it, and without one.

import { Kafka, logLevel, type Producer } from 'kafkajs'
import { Random } from '../../generator/shop/random.ts'
import type { BrokerLink } from '../../kafka/client/broker.ts'
import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import {
  type FetchAsk,
  type FetchResponse,
  fetchRequest,
  parseFetchResponse,
} from '../../kafka/consumer/fetch-request.ts'
import { type FetchedPartition, type Fetcher, type FetchPosition, openFetcher } from '../../kafka/consumer/fetcher.ts'
import { type Exchange, type KafkaProxy, startKafkaProxy } from '../support/faults/kafka-proxy.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { connectTo, makeTopic } from '../support/servers/kafka.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('kafka fetch session', { timeoutMs: 120_000 })
const limits = { maxWaitMs: 20, minBytes: 1, maxBytes: 30_000 }
const signal = new AbortController().signal
const fetchKey = 1
const notFound = 70
const otherEpoch = 71

let services: Servers
let producer: Producer
let proxy: KafkaProxy
let connection: KafkaConnection
let direct: KafkaConnection
/** Requests and responses of the fetchers, in order. */
const exchanges: Exchange[] = []

test.before(async () => {
  services = await shareServers(['kafka'])
  const broker = services.endpoints.kafka!
  producer = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
  proxy = await startKafkaProxy(broker)
  proxy.decide = (apiKey, exchange) => {
    if (apiKey === fetchKey) exchanges.push(exchange)
    return 'pass'
  }
  connection = await connectTo(proxy.address)
  direct = await connectTo(broker)
})

test.before.each(() => {
  exchanges.length = 0
})

test.after(async () => {
  await connection?.close()
  await direct?.close()
  await proxy?.close()
  await producer?.disconnect()
  await services?.stop()
})

function positionsOf(topic: string, partitions: number): FetchPosition[] {
  return Array.from({ length: partitions }, (_, partition) => ({ topic, partition, offset: 0 }))
}

/** A fetcher with a session of these partitions. */
async function openFollowing(positions: readonly FetchPosition[]): Promise<Fetcher> {
  const own = openFetcher(connection, { follows: true })
  // A new topic may have no leader for a moment.
  const isFollowing = async () => (await own.fetch(positions, limits, signal)).length === positions.length
  await until(isFollowing, { what: 'all partitions to be answered for' })
  own.interruptions = 0
  exchanges.length = 0
  return own
}

function valuesOf({ records }: FetchedPartition): string[] {
  const { buffer, valueStarts, valueEnds } = records
  return Array.from({ length: records.count }, (_, i) => buffer.toString('utf8', valueStarts[i]!, valueEnds[i]!))
}

/** Offsets in the request. */
function sessionIn({ request }: Exchange): FetchAsk['session'] {
  const clientId = 4 + 2 + 2 + 4
  const session = clientId + 2 + request.readInt16BE(clientId) + 4 + 4 + 4 + 4 + 1
  return { id: request.readInt32BE(session), epoch: request.readInt32BE(session + 4) }
}

function answerIn({ response }: Exchange): FetchResponse {
  const correlationId = 4
  return parseFetchResponse(response.subarray(4 + correlationId))
}

/** Sends a request without a fetcher. */
async function ask(link: BrokerLink, session: FetchAsk['session'], positions: FetchAsk['positions'] = []) {
  const request = fetchRequest({ session, positions, forgotten: [] }, { ...limits, maxWaitMs: 0 })
  return parseFetchResponse(await link.send(request))
}

test('a fetch of many idle partitions takes as few bytes as one of few, and reports every partition', async () => {
  const bytes: number[] = []
  for (const partitions of [4, 100]) {
    const topic = await makeTopic(connection, partitions)
    const positions = positionsOf(topic, partitions)
    const own = await openFollowing(positions)
    for (let time = 0; time < 3; time++) {
      const fetched = await own.fetch(positions, limits, signal)
      assert.equal(
        fetched.map(({ partition, fromOffset, end, records }) => [partition, fromOffset, end, records.nextOffset]),
        positions.map(({ partition }) => [partition, 0, 0, 0]),
      )
    }
    assert.is(exchanges.length, 3)
    bytes.push(exchanges.reduce((sum, { request, response }) => sum + request.length + response.length, 0))
    own.close()
  }
  assert.is(bytes[1], bytes[0])
})

test('a session that the broker lost, or whose epoch differs, is replaced by a new one at once, and nothing is lost', async () => {
  const connections = direct.openConnections()
  const topic = await makeTopic(direct, 3)
  const link = await connections.to(direct.leader(topic, 0)!)
  for (const [loss, refusal] of [['ended', notFound] as const, ['used by another', otherEpoch] as const]) {
    const own = await openFollowing(positionsOf(topic, 3))
    const before = await own.fetch(positionsOf(topic, 3), limits, signal)
    const next = before.map(({ records }, partition) => ({ topic, partition, offset: records.nextOffset }))
    await own.fetch(next, limits, signal)
    const { sessionId: id } = answerIn(exchanges.at(-1)!)
    const { epoch } = sessionIn(exchanges.at(-1)!)
    await ask(link, { id, epoch: loss === 'ended' ? -1 : epoch + 1 })
    await producer.send({ topic, messages: [{ partition: 1, value: loss }] })
    exchanges.length = 0
    const fetched = await own.fetch(next, limits, signal)
    assert.equal(fetched.map(valuesOf), [[], [loss], []])
    assert.is(own.interruptions, 0)
    assert.equal(
      exchanges.map(exchange => answerIn(exchange).errorCode),
      [refusal, 0],
    )
    // The broker ends the old session if it still has it.
    assert.equal(sessionIn(exchanges[1]!), { id, epoch: 0 })
    own.close()
  }
  connections.close()
})

test('a closed fetcher closes its session, also while it waits for records', async () => {
  const connections = direct.openConnections()
  const topic = await makeTopic(direct, 2)
  const link = await connections.to(direct.leader(topic, 0)!)
  for (const isWaiting of [false, true]) {
    const own = await openFollowing(positionsOf(topic, 2))
    await own.fetch(positionsOf(topic, 2), limits, signal)
    const { sessionId: id } = answerIn(exchanges.at(-1)!)
    assert.is.not(id, 0)
    const cut = new AbortController()
    const waiting = isWaiting ? own.fetch(positionsOf(topic, 2), { ...limits, maxWaitMs: 300 }, cut.signal) : undefined
    cut.abort(new Error('enough'))
    if (waiting !== undefined) await assert.rejects(() => waiting, /enough/)
    own.close()
    const isGiven = () => exchanges.some(exchange => sessionIn(exchange).id === id && sessionIn(exchange).epoch === -1)
    await until(isGiven, { what: 'the session to be given back' })
    assert.is((await ask(link, { id, epoch: 3 })).errorCode, notFound)
  }
  connections.close()
})

interface Followed {
  readonly topic: string
  readonly partition: number
  /** From offset to value. */
  readonly values: string[]
  next: number
}

/** Takes the fetched records. They must equal the topic's records from the last read offset on. */
function take(followed: readonly Followed[], fetched: FetchedPartition, isNew: boolean): void {
  const place = followed.find(({ topic, partition }) => topic === fetched.topic && partition === fetched.partition)!
  const { records, fromOffset, end } = fetched
  assert.is(fromOffset, place.next)
  assert.equal(valuesOf(fetched), place.values.slice(place.next, records.nextOffset))
  assert.ok(isNew ? end === place.values.length : end >= records.nextOffset, `end ${end} of ${place.values.length}`)
  place.next = records.nextOffset
}

async function append(random: Random, followed: readonly Followed[]): Promise<void> {
  const byTopic = new Map<string, { partition: number; value: string }[]>()
  for (let count = random.integer(1, 6); count > 0; count--) {
    const { topic, partition, values } = random.pick(followed)
    const size = random.chance(0.1) ? random.integer(15_000, 60_000) : random.integer(1, 4_000)
    const value = `${partition} ${values.length} `.padEnd(size, 'x')
    values.push(value)
    byTopic.set(topic, [...(byTopic.get(topic) ?? []), { partition, value }])
  }
  for (const [topic, messages] of byTopic) await producer.send({ topic, messages })
}

/**
 * Appends, fetches, seeks, omits partitions, gives up waiting and breaks sessions, all at random.
 * At the end all records are read.
 */
async function follow(random: Random, steps: number): Promise<void> {
  const followed: Followed[] = []
  for (const partitions of [5, 3]) {
    const positions = positionsOf(await makeTopic(direct, partitions), partitions)
    followed.push(...positions.map(({ topic, partition }) => ({ topic, partition, values: [], next: 0 })))
  }
  const connections = direct.openConnections()
  const link = await connections.to(direct.leader(followed[0]!.topic, 0)!)
  const own = await openFollowing(followed.map(({ topic, partition, next: offset }) => ({ topic, partition, offset })))
  /** @param isNew false if the response may belong to an earlier request */
  const fetch = async (places: readonly Followed[], isNew = true, until = signal) => {
    const positions = places.map(({ topic, partition, next }) => {
      return { topic, partition, offset: next, maxBytes: random.pick([5_000, 20_000]) }
    })
    const before = own.interruptions
    const fetched = await own.fetch(positions, limits, until)
    for (const each of fetched) take(places, each, isNew)
    if (isNew && own.interruptions === before) assert.is(fetched.length, places.length, 'there is an answer for each')
  }
  const seek = () => {
    const place = random.pick(followed)
    place.next = random.integer(0, place.values.length)
  }
  const giveUp = async () => {
    const given = new AbortController()
    const fetching = fetch(followed, true, given.signal).catch(error => assert.is(error.name, 'AbortError'))
    given.abort()
    await fetching
  }
  const breakSession = async () => {
    const last = exchanges.at(-1)
    if (last === undefined) return
    await ask(link, { id: answerIn(last).sessionId, epoch: random.pick([-1, sessionIn(last).epoch + 1]) })
  }
  for (let step = 0; step < steps; step++) {
    const kind = random.fraction()
    if (kind < 0.45) await append(random, followed)
    else if (kind < 0.6) seek()
    else if (kind < 0.75) await giveUp()
    else if (kind < 0.8) await breakSession()
    else if (kind < 0.82) proxy.cutAll()
    const hasGivenUp = kind >= 0.6 && kind < 0.75
    if (hasGivenUp) for (let count = random.integer(0, 3); count > 0; count--) seek()
    exchanges.length = 0
    await fetch(
      followed.filter(() => random.chance(0.8)),
      !hasGivenUp,
    )
  }
  for (let left = 500; followed.some(({ values, next }) => next < values.length); left--) {
    assert.ok(left > 0, 'all is read in the end')
    await fetch(followed)
  }
  own.close()
  connections.close()
}

test('each record is fetched once and in order through random seeks, omissions and broken sessions', async () => {
  const random = new Random(testSeed(), 'fetch session')
  for (let time = times(1); time > 0; time--) await follow(random, 150)
})

test('with a broker without room for a session, each fetch names all partitions, and nothing is lost', async () => {
  const connections = direct.openConnections()
  const topic = await makeTopic(direct, 1)
  const link = await connections.to(direct.leader(topic, 0)!)
  const position = { topic, partition: 0, offset: 0, maxBytes: 1 }
  const ids: number[] = []
  // The broker has several caches, and uses them in turn.
  for (let made = 50; made > 0; ) {
    const asked = Array.from({ length: 50 }, () => ask(link, { id: 0, epoch: 0 }, [position]))
    const given = (await Promise.all(asked)).map(({ sessionId }) => sessionId).filter(id => id !== 0)
    made = given.length
    ids.push(...given)
  }
  const sessions = new Set<number>()
  const { decide } = proxy
  proxy.decide = (apiKey, exchange) => {
    if (apiKey === fetchKey) sessions.add(answerIn(exchange).sessionId)
    return decide(apiKey, exchange)
  }
  await follow(new Random(testSeed(), 'no session'), 60)
  proxy.decide = decide
  assert.equal(sessions, new Set([0]))
  await Promise.all(ids.map(id => ask(link, { id, epoch: -1 })))
  connections.close()
})

test.run()
