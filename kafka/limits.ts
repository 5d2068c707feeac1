// kafka/limits: how large requests and batches may be, as the brokers are set.
// May know: kafka/{cluster,failure,kafkajs}.

import type { KafkaConnection, Lane } from './cluster.ts'
import { describe, retrying } from './failure.ts'
import type { DescribedConfigs } from './kafkajs.ts'

const timeoutMs = 15_000
const resourceTypes = { topic: 2, broker: 4 } as const

/** Kafka's own defaults, for users who may not read settings. */
const defaultRequestBytes = 100 * 1024 * 1024
const defaultBatchBytes = 1024 * 1024 + 12

/** `max.message.bytes` of a topic: the largest batch it takes. */
export async function largestBatch(connection: KafkaConnection, topic: string): Promise<number> {
  const read = () => connection.ask(broker => broker.describeConfigs(settingOf('topic', topic, 'max.message.bytes')))
  return readLimit(connection, read, `read max.message.bytes of topic ${topic}`, defaultBatchBytes)
}

/** `socket.request.max.bytes` of the broker that leads partition 0 of the topic: it closes the connection on larger ones. */
export async function largestRequest(connection: KafkaConnection, lane: Lane, topic: string): Promise<number> {
  const read = async () => {
    const nodeId = connection.leader(topic, 0)
    if (nodeId === undefined) throw new Error(`no leader of topic ${topic} is known`)
    const link = await lane.to(nodeId)
    return link.call(broker => broker.describeConfigs(settingOf('broker', String(nodeId), 'socket.request.max.bytes')))
  }
  return readLimit(connection, read, "read the brokers' socket.request.max.bytes", defaultRequestBytes)
}

async function readLimit(
  connection: KafkaConnection,
  read: () => Promise<DescribedConfigs>,
  doing: string,
  otherwise: number,
): Promise<number> {
  try {
    const { resources } = await retrying(read, { doing, log: connection.log, timeoutMs })
    const value = Number(resources[0]?.configEntries[0]?.configValue)
    return value > 0 ? value : otherwise
  } catch (error) {
    connection.log.warn(`cannot ${doing}, taking Kafka's default`, { reason: describe(error), bytes: otherwise })
    return otherwise
  }
}

function settingOf(type: keyof typeof resourceTypes, name: string, setting: string) {
  return { resources: [{ type: resourceTypes[type], name, configNames: [setting] }] }
}
