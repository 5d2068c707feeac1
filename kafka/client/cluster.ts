// kafka/client/cluster: the brokers of one cluster, who leads which partition, and connections to them.

import type { Socket } from 'node:net'
import { isLoopback } from '../../runtime/config/insecure.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { backoffMs, orAborted, sleep } from '../../runtime/wait.ts'
import { BrokerLink, errorFromCode, type LinkOptions, type RawRequest, type SaslOptions } from './broker.ts'
import { BrokerConnections } from './broker-connections.ts'
import { kafkaError, requestBackoff } from './errors.ts'
import type { Broker, MetadataResponse } from './kafkajs-internals.ts'

export interface KafkaOptions {
  /** `host:port`, at least one; the others are learnt from it. */
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly tls: LinkOptions['tls']
  /** Without TLS, brokers on other machines may be talked to as well: also those that only the cluster itself names. */
  readonly insecure?: boolean
  readonly sasl?: SaslOptions
  readonly log: Log
}

interface TopicLeaders {
  /** Node per partition; −1 while a partition has none. */
  leaders: readonly number[]
  /** Since when, on the monotonic clock, the brokers deny knowing the topic. */
  missingSince?: number
}

/** How long to wait for something. */
export interface WaitOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

type Address = Pick<LinkOptions, 'host' | 'port'>

/** A topic that has only just been made, or whose broker has only just started, is unknown for a moment. */
const missingToleranceMs = 30_000
const unknownTopic = 3
const leaderNotAvailable = 5
const requiredVersions = [
  { api: 'Produce', apiKey: 0, version: 7 },
  { api: 'Fetch', apiKey: 1, version: 11 },
]

/**
 * Connects to the first broker that answers.
 * @param signal ends the attempt only
 * @throws {MillraceError} KAFKA_UNREACHABLE, KAFKA_DENIED, or KAFKA_REFUSED for brokers older than 2.3; the signal's reason
 */
export async function connectKafka(options: KafkaOptions, signal?: AbortSignal): Promise<KafkaConnection> {
  const connection = new KafkaConnection(options)
  try {
    await orAborted(connection.refresh([]), signal)
    return connection
  } catch (error) {
    connection.close()
    throw error
  }
}

export class KafkaConnection {
  readonly log: Log
  /** Fires when the connection is closed. */
  readonly closed: AbortSignal
  readonly #closing = new AbortController()
  readonly #options: KafkaOptions
  readonly #topics = new Map<string, TopicLeaders>()
  readonly #connections = new Set<BrokerConnections>()
  readonly #sockets = new Set<Socket>()
  #nodes = new Map<number, Address>()
  #clusterId: string | null = null
  #anyLink: Promise<BrokerLink> | undefined
  #turn = 0
  #refreshing: { readonly topics: ReadonlySet<string>; readonly done: Promise<void> } | undefined

  constructor(options: KafkaOptions) {
    this.#options = options
    this.log = options.log
    this.closed = this.#closing.signal
  }

  /** Which cluster this is, as its brokers say. @throws {MillraceError} KAFKA_REFUSED when they do not */
  get clusterId(): string {
    if (this.#clusterId !== null) return this.#clusterId
    throw new MillraceError('KAFKA_REFUSED', {
      what: 'the brokers do not say which cluster they are, so it cannot be told from another one',
      where: this.#options.brokers.join(', '),
      next: 'use Kafka 3.5 or later, or a broker that gives a cluster id in its metadata',
    })
  }

  /** Connections of their own for one user: a long poll or a rebalance holds up everything behind it on the same connection. */
  openConnections(): BrokerConnections {
    const open = (nodeId: number) => this.#open(this.#addressOf(nodeId))
    const connections = new BrokerConnections(open, () => this.#connections.delete(connections))
    this.#connections.add(connections)
    return connections
  }

  /** A request that any broker can answer; after a failed connection the next broker is asked. */
  async ask<T>(request: (broker: Broker) => Promise<T>): Promise<T> {
    return this.#askLink(link => link.call(request))
  }

  /** A request of ours that any broker can answer; gives the body of the response. */
  async send(request: RawRequest): Promise<Buffer> {
    return this.#askLink(link => link.send(request))
  }

  /** Asks for the leaders of these topics, and of those asked for before. @throws {MillraceError} */
  async refresh(topics: readonly string[]): Promise<void> {
    if (this.#refreshing && topics.every(topic => this.#refreshing!.topics.has(topic))) return this.#refreshing.done
    const wanted = new Set([...this.#topics.keys(), ...topics])
    const done = this.metadata([...wanted]).then(answer => this.#learn(answer))
    this.#refreshing = { topics: wanted, done }
    try {
      await done
    } finally {
      this.#refreshing = undefined
    }
  }

  /** Of the named topics, or of all when none is named. @throws {MillraceError} */
  async metadata(topics: readonly string[]): Promise<MetadataResponse> {
    try {
      return await this.#askLink(link => link.metadata(topics))
    } catch (error) {
      throw kafkaError(error, 'reach the Kafka cluster', this.#options.brokers.join(', '))
    }
  }

  /**
   * Waits until the topic is known and every partition has a leader; gives the number of partitions.
   * @throws {MillraceError} TOPIC_MISSING; KAFKA_UNREACHABLE when a partition still has no leader; the signal's reason
   */
  async partitionCount(topic: string, { timeoutMs = missingToleranceMs, signal }: WaitOptions = {}): Promise<number> {
    const deadline = performance.now() + timeoutMs
    for (let attempt = 1; ; attempt += 1) {
      const known = this.#topics.get(topic)
      const leaders = known?.leaders ?? []
      if (leaders.length > 0 && !leaders.includes(-1)) return leaders.length
      if (performance.now() > deadline) {
        if (known?.missingSince !== undefined) throw topicMissing(topic)
        throw kafkaError(errorFromCode(leaderNotAvailable), `find the leaders of topic ${topic}`, topic)
      }
      if (attempt > 1) await sleep(backoffMs(attempt - 1, requestBackoff), signal)
      await orAborted(this.refresh([topic]), signal)
    }
  }

  /** The same for a topic that was made with so many partitions. @throws {MillraceError} also TOPIC_PARTITIONS_CHANGED */
  async requirePartitions(topic: string, partitions: number, patience: WaitOptions = {}): Promise<void> {
    const found = await this.partitionCount(topic, patience)
    if (found !== partitions) throw partitionsChanged(topic, partitions, found)
  }

  /**
   * The node that leads the partition, as far as known; undefined asks for a `refresh`.
   * @throws {MillraceError} TOPIC_MISSING when the brokers have not known the topic for half a minute
   */
  leader(topic: string, partition: number): number | undefined {
    const known = this.#topics.get(topic)
    if (known?.missingSince !== undefined && performance.now() - known.missingSince > missingToleranceMs)
      throw topicMissing(topic)
    const leader = known?.leaders[partition] ?? -1
    return leader < 0 || !this.#nodes.has(leader) ? undefined : leader
  }

  /** The topic was deleted: what was known of it no longer counts. */
  forget(topic: string): void {
    this.#topics.delete(topic)
  }

  /** Closes every connection as well, and ends what is being opened; whatever waits for an answer is rejected, and nothing is tried again. */
  close(): void {
    this.#closing.abort()
    for (const connections of this.#connections) connections.close()
    this.#anyLink?.then(
      link => link.destroy(),
      () => undefined,
    )
    for (const socket of this.#sockets) end(socket)
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    // Not before kafkajs listens to it.
    if (this.closed.aborted) setImmediate(end, socket)
  }

  #learn(answer: MetadataResponse): void {
    this.#clusterId = answer.clusterId
    this.#nodes = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    for (const { topic, topicErrorCode, partitionMetadata } of answer.topicMetadata) {
      if (topicErrorCode === unknownTopic) {
        const missingSince = this.#topics.get(topic)?.missingSince ?? performance.now()
        this.#topics.set(topic, { leaders: [], missingSince })
      } else if (topicErrorCode === 0) {
        const leaders: number[] = []
        for (const { partitionId, leader } of partitionMetadata) leaders[partitionId] = leader
        this.#topics.set(topic, { leaders })
      }
    }
  }

  async #askLink<T>(request: (link: BrokerLink) => Promise<T>): Promise<T> {
    const addresses = this.#addresses()
    for (let attempt = 1; ; attempt += 1) {
      let link: BrokerLink | undefined
      try {
        this.#anyLink ??= this.#open(addresses[this.#turn++ % addresses.length]!)
        link = await this.#anyLink
        return await request(link)
      } catch (error) {
        if (link && !link.broken) throw error
        this.#anyLink = undefined
        if (attempt >= addresses.length) throw error
      }
    }
  }

  async #open(address: Address): Promise<BrokerLink> {
    const { clientId, tls, insecure = false, sasl, log } = this.#options
    if (tls === false && !insecure && !isLoopback(address.host)) throw exposed(address)
    this.closed.throwIfAborted()
    const login = sasl === undefined ? {} : { sasl }
    const link = await BrokerLink.open({
      ...address,
      clientId,
      tls,
      log,
      ...login,
      onSocket: socket => this.#keep(socket),
    })
    for (const { api, apiKey, version } of requiredVersions) {
      if (link.maxVersion(apiKey) >= version) continue
      link.destroy()
      throw new MillraceError('KAFKA_REFUSED', {
        what: `the broker does not speak version ${version} of ${api}`,
        where: `${address.host}:${address.port}`,
        next: 'use Kafka 3.5 or later',
      })
    }
    return link
  }

  #addressOf(nodeId: number): Address {
    const address = this.#nodes.get(nodeId)
    if (address === undefined) throw new Error(`the brokers no longer name node ${nodeId}`)
    return address
  }

  /** Learnt addresses first: those configured may be of brokers long gone. */
  #addresses(): Address[] {
    return [...this.#nodes.values(), ...this.#options.brokers.map(parseAddress)]
  }
}

/** With an error, which is what kafkajs clears its timers on. */
function end(socket: Socket): void {
  socket.destroy(new Error('the connection to the cluster was closed'))
}

function topicMissing(topic: string): MillraceError {
  return new MillraceError('TOPIC_MISSING', {
    what: `topic ${topic} does not exist`,
    where: topic,
    next: 'restore the topic from a backup, or start a new generation: millrace producer --new-generation',
  })
}

function partitionsChanged(topic: string, expected: number, found: number): MillraceError {
  return new MillraceError('TOPIC_PARTITIONS_CHANGED', {
    what: `topic ${topic} has ${found} partitions, not ${expected}`,
    where: topic,
    next: 'rows of one key would stand in two partitions; start a new generation: millrace producer --new-generation',
  })
}

function exposed({ host, port }: Address): MillraceError {
  return new MillraceError('CONFIG_INVALID', {
    what: `everything would go unencrypted to ${host}, where the cluster says that a broker is (advertised.listeners)`,
    where: `${host}:${port}`,
    next: 'set kafka.tls: true, or allow it where the network is trusted: kafka.insecure: true',
  })
}

function parseAddress(broker: string): Address {
  const colon = broker.lastIndexOf(':')
  return { host: broker.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(broker.slice(colon + 1)) }
}
