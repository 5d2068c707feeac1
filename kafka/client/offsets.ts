// kafka/client/offsets: the first and the end offsets of a topic's partitions.

import { isRetriable } from './broker.ts'
import type { BrokerConnections } from './broker-connections.ts'
import type { KafkaConnection } from './cluster.ts'
import { retrying } from './errors.ts'

/** Requests the offset after the last visible record. */
export const latest = -1
/** Requests the offset of the first record that is still kept. */
export const earliest = -2

/**
 * Read uncommitted: up to the last record that all in-sync replicas have, ignoring open
 * transactions.
 */
const readUncommitted = 0

interface OffsetsWanted {
  readonly topics: readonly string[]
  readonly at: typeof latest | typeof earliest
  readonly signal?: AbortSignal | undefined
}

/**
 * One offset per partition of the topic.
 * @throws {MillraceError} TOPIC_MISSING, KAFKA_DENIED; the signal's reason
 */
export async function listOffsets(
  connection: KafkaConnection,
  connections: BrokerConnections,
  { topic, ...wanted }: Omit<OffsetsWanted, 'topics'> & { readonly topic: string },
): Promise<number[]> {
  const [offsets] = await listOffsetsOf(connection, connections, { topics: [topic], ...wanted })
  return offsets!
}

/** The same for several topics, with one request per broker. */
export function listOffsetsOf(
  connection: KafkaConnection,
  connections: BrokerConnections,
  { topics, at, signal }: OffsetsWanted,
): Promise<number[][]> {
  const attempt = async () => {
    try {
      return await listOnce(connection, connections, { topics, at, signal })
    } catch (error) {
      if (isRetriable(error)) await connection.refresh(topics)
      throw error
    }
  }
  const others = topics.length > 1 ? ` and ${topics.length - 1} others` : ''
  return retrying(attempt, { doing: `list the offsets of topic ${topics[0]}${others}`, connection, signal })
}

async function listOnce(
  connection: KafkaConnection,
  connections: BrokerConnections,
  { topics, at, signal }: OffsetsWanted,
): Promise<number[][]> {
  const byLeader = new Map<number, Map<string, number[]>>()
  for (const topic of topics) {
    const count = await connection.partitionCount(topic, { signal })
    for (let partition = 0; partition < count; partition += 1) {
      const leader = connection.leader(topic, partition)
      if (leader === undefined) throw new Error(`partition ${partition} of topic ${topic} has no leader`)
      const ofLeader = byLeader.get(leader) ?? new Map<string, number[]>()
      byLeader.set(leader, ofLeader)
      const ofTopic = ofLeader.get(topic)
      if (ofTopic) ofTopic.push(partition)
      else ofLeader.set(topic, [partition])
    }
  }
  const found = new Map(topics.map(topic => [topic, [] as number[]]))
  await Promise.all(
    [...byLeader].map(async ([leader, ofLeader]) => {
      const link = await connections.to(leader)
      const asked = [...ofLeader].map(([topic, partitions]) => ({
        topic,
        partitions: partitions.map(partition => ({ partition, timestamp: at })),
      }))
      const request = { replicaId: -1, isolationLevel: readUncommitted, topics: asked }
      const { responses } = await link.call(broker => broker.listOffsets(request))
      for (const { topic, partitions } of responses)
        for (const { partition, offset } of partitions) found.get(topic)![partition] = Number(offset)
    }),
  )
  return topics.map(topic => found.get(topic)!)
}
