// kafka/client/cluster: the brokers of one cluster, the leaders of partitions, and connections to
// the brokers.

import type { Socket } from 'node:net'
import { isLoopback } from '../../runtime/config/insecure.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { backoffMs, orAborted, sleep } from '../../runtime/wait.ts'
import { BrokerLink, errorFromCode, type LinkOptions, type RawRequest, type SaslOptions } from './broker.ts'
import { BrokerConnections } from './broker-connections.ts'
import { exposed, kafkaError, partitionsChanged, requestBackoff, topicMissing } from './errors.ts'
import type { Broker, MetadataResponse } from './kafkajs-internals.ts'

export interface KafkaOptions {
  /** `host:port`, at least one. That broker names the others. */
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly tls: LinkOptions['tls']
  /**
   * Allows connections without TLS to brokers on other machines, also to brokers that only the
   * cluster names.
   */
  readonly insecure?: boolean
  readonly sasl?: SaslOptions
  readonly log: Log
}

interface TopicLeaders {
  /** Leading node per partition; −1 while a partition has no leader. */
  leaders: readonly number[]
  /** Since when the brokers answer that the topic is unknown, in ms of the monotonic clock. */
  missingSince?: number
}

/** How long to wait for something. */
export interface WaitOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

type Address = Pick<LinkOptions, 'host' | 'port'>

/** A topic is unknown for a moment after it was created, and after its broker has started. */
const missingToleranceMs = 30_000
const unknownTopic = 3
const leaderNotAvailable = 5
const requiredVersions = [
  { api: 'Produce', apiKey: 0, version: 7 },
  { api: 'Fetch', apiKey: 1, version: 11 },
]

/**
 * Connects to the first broker that answers.
 * @param signal ends only the attempt to connect
 * @throws {MillraceError} KAFKA_UNREACHABLE, KAFKA_DENIED, or KAFKA_REFUSED for brokers older than
 *   2.3; the signal's reason
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
  /** Aborts when the connection is closed. */
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

  /**
   * The cluster id from the brokers' metadata.
   * @throws {MillraceError} KAFKA_REFUSED when they send none
   */
  get clusterId(): string {
    if (this.#clusterId !== null) return this.#clusterId
    throw new MillraceError('KAFKA_REFUSED', {
      what: 'the brokers send no cluster id, so this cluster cannot be distinguished from another one',
      where: this.#options.brokers.join(', '),
      next: 'use Kafka 3.5 or later, or a broker that gives a cluster id in its metadata',
    })
  }

  /**
   * Separate connections for one user: a long poll or a rebalance delays every later request on the
   * same connection.
   */
  openConnections(): BrokerConnections {
    const open = (nodeId: number) => this.#open(this.#addressOf(nodeId))
    const connections = new BrokerConnections(open, () => this.#connections.delete(connections))
    this.#connections.add(connections)
    return connections
  }

  /** Sends a request to any broker. After a failed connection it goes to the next broker. */
  async ask<T>(request: (broker: Broker) => Promise<T>): Promise<T> {
    return this.#askLink(link => link.call(request))
  }

  /** The same for a request encoded here. @returns the body of the response */
  async send(request: RawRequest): Promise<Buffer> {
    return this.#askLink(link => link.send(request))
  }

  /**
   * Reads the leaders of these topics and of all topics requested before.
   * @throws {MillraceError}
   */
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

  /** Metadata of the named topics, or of all topics when none is named. @throws {MillraceError} */
  async metadata(topics: readonly string[]): Promise<MetadataResponse> {
    try {
      return await this.#askLink(link => link.metadata(topics))
    } catch (error) {
      throw kafkaError(error, 'reach the Kafka cluster', this.#options.brokers.join(', '))
    }
  }

  /**
   * Waits until the topic is known and every partition has a leader.
   * @returns the number of partitions
   * @throws {MillraceError} TOPIC_MISSING; KAFKA_UNREACHABLE when a partition still has no leader;
   *   the signal's reason
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

  /**
   * The same for a topic that was created with this number of partitions.
   * @throws {MillraceError} also TOPIC_PARTITIONS_CHANGED
   */
  async requirePartitions(topic: string, partitions: number, wait: WaitOptions = {}): Promise<void> {
    const found = await this.partitionCount(topic, wait)
    if (found !== partitions) throw partitionsChanged(topic, partitions, found)
  }

  /**
   * The leader of the partition, from the last metadata. If undefined, call `refresh`.
   * @throws {MillraceError} TOPIC_MISSING when the brokers have not known the topic for half a
   *   minute
   */
  leader(topic: string, partition: number): number | undefined {
    const known = this.#topics.get(topic)
    if (known?.missingSince !== undefined && performance.now() - known.missingSince > missingToleranceMs)
      throw topicMissing(topic)
    const leader = known?.leaders[partition] ?? -1
    return leader < 0 || !this.#nodes.has(leader) ? undefined : leader
  }

  /** Forgets the metadata of a deleted topic. */
  forget(topic: string): void {
    this.#topics.delete(topic)
  }

  /**
   * Closes every connection, also those being opened, rejects the requests without a response, and
   * ends all retries.
   */
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
    // kafkajs must listen to the socket before this.
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

  /** Addresses from metadata come first: the configured ones may belong to removed brokers. */
  #addresses(): Address[] {
    return [...this.#nodes.values(), ...this.#options.brokers.map(parseAddress)]
  }
}

/** An error is needed: kafkajs clears its timers only then. */
function end(socket: Socket): void {
  socket.destroy(new Error('the connection to the cluster was closed'))
}

function parseAddress(broker: string): Address {
  const colon = broker.lastIndexOf(':')
  return { host: broker.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(broker.slice(colon + 1)) }
}
