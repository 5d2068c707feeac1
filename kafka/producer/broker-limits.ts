// kafka/producer/broker-limits: the brokers' limits for the size of requests and batches.

import type { BrokerConnections } from '../client/broker-connections.ts'
import type { KafkaConnection } from '../client/cluster.ts'
import { describe, type RetryingOptions, retrying } from '../client/errors.ts'
import type { DescribedConfigs } from '../client/kafkajs-internals.ts'

const timeoutMs = 15_000
const resourceTypes = { topic: 2, broker: 4 } as const

/** Kafka's defaults, for users without permission to read settings. */
const defaultRequestBytes = 100 * 1024 * 1024
const defaultBatchBytes = 1024 * 1024 + 12

/** `max.message.bytes` of each topic: its largest batch. */
export async function largestBatches(
  connection: KafkaConnection,
  topics: readonly string[],
  signal?: AbortSignal,
): Promise<number[]> {
  const read = () => connection.ask(broker => broker.describeConfigs(settingsOf('topic', topics, 'max.message.bytes')))
  const doing = `read max.message.bytes of topic ${topics[0]}${topics.length > 1 ? ` and ${topics.length - 1} others` : ''}`
  const found = await readLimits(read, { doing, connection, signal, timeoutMs }, defaultBatchBytes)
  return topics.map(topic => found.get(topic) ?? defaultBatchBytes)
}

/**
 * `socket.request.max.bytes` of the leader of the topic's partition 0. The broker closes the
 * connection on larger requests.
 */
export async function largestRequest(
  connection: KafkaConnection,
  connections: BrokerConnections,
  { topic, signal }: { readonly topic: string; readonly signal?: AbortSignal | undefined },
): Promise<number> {
  const read = async () => {
    const nodeId = connection.leader(topic, 0)
    if (nodeId === undefined) throw new Error(`no leader of topic ${topic} is known`)
    const link = await connections.to(nodeId)
    return link.call(broker =>
      broker.describeConfigs(settingsOf('broker', [String(nodeId)], 'socket.request.max.bytes')),
    )
  }
  const doing = "read the brokers' socket.request.max.bytes"
  const [found = defaultRequestBytes] = (
    await readLimits(read, { doing, connection, signal, timeoutMs }, defaultRequestBytes)
  ).values()
  return found
}

/** Settings by resource, without those that cannot be read. */
async function readLimits(
  read: () => Promise<DescribedConfigs>,
  options: RetryingOptions,
  otherwise: number,
): Promise<Map<string, number>> {
  try {
    const { resources } = await retrying(read, options)
    const values = resources.map(
      ({ resourceName, configEntries }) => [resourceName, Number(configEntries[0]?.configValue)] as const,
    )
    return new Map(values.filter(([, value]) => value > 0))
  } catch (error) {
    options.signal?.throwIfAborted()
    options.connection.log.warn(`cannot ${options.doing}, taking Kafka's default`, {
      reason: describe(error),
      bytes: otherwise,
    })
    return new Map()
  }
}

function settingsOf(type: keyof typeof resourceTypes, names: readonly string[], setting: string) {
  return { resources: names.map(name => ({ type: resourceTypes[type], name, configNames: [setting] })) }
}
