// kafka/limits: how large requests and batches may be, as the brokers are set.
// May know: kafka/{cluster,failure,kafkajs}.

import type { KafkaConnection } from './cluster.ts'
import { describe, type RetryingOptions, retrying } from './failure.ts'
import type { DescribedConfigs } from './kafkajs.ts'
import type { Lane } from './lane.ts'

const timeoutMs = 15_000
const resourceTypes = { topic: 2, broker: 4 } as const

/** Kafka's own defaults, for users who may not read settings. */
const defaultRequestBytes = 100 * 1024 * 1024
const defaultBatchBytes = 1024 * 1024 + 12

/** `max.message.bytes` of a topic: the largest batch it takes. */
export async function largestBatch(connection: KafkaConnection, topic: string, signal?: AbortSignal): Promise<number> {
  const read = () => connection.ask(broker => broker.describeConfigs(settingOf('topic', topic, 'max.message.bytes')))
  const doing = `read max.message.bytes of topic ${topic}`
  return readLimit(read, { doing, connection, signal, timeoutMs }, defaultBatchBytes)
}

/** `socket.request.max.bytes` of the broker that leads partition 0 of the topic: it closes the connection on larger ones. */
export async function largestRequest(
  connection: KafkaConnection,
  lane: Lane,
  { topic, signal }: { readonly topic: string; readonly signal?: AbortSignal | undefined },
): Promise<number> {
  const read = async () => {
    const nodeId = connection.leader(topic, 0)
    if (nodeId === undefined) throw new Error(`no leader of topic ${topic} is known`)
    const link = await lane.to(nodeId)
    return link.call(broker => broker.describeConfigs(settingOf('broker', String(nodeId), 'socket.request.max.bytes')))
  }
  const doing = "read the brokers' socket.request.max.bytes"
  return readLimit(read, { doing, connection, signal, timeoutMs }, defaultRequestBytes)
}

async function readLimit(
  read: () => Promise<DescribedConfigs>,
  options: RetryingOptions,
  otherwise: number,
): Promise<number> {
  try {
    const { resources } = await retrying(read, options)
    const value = Number(resources[0]?.configEntries[0]?.configValue)
    return value > 0 ? value : otherwise
  } catch (error) {
    options.signal?.throwIfAborted()
    options.connection.log.warn(`cannot ${options.doing}, taking Kafka's default`, {
      reason: describe(error),
      bytes: otherwise,
    })
    return otherwise
  }
}

function settingOf(type: keyof typeof resourceTypes, name: string, setting: string) {
  return { resources: [{ type: resourceTypes[type], name, configNames: [setting] }] }
}
