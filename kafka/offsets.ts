// kafka/offsets: where the partitions of a topic begin and end.
// May know: kafka/{broker,cluster,failure}.

import { isRetriable } from './broker.ts'
import type { KafkaConnection } from './cluster.ts'
import { retrying } from './failure.ts'
import type { Lane } from './lane.ts'

/** Asks for the offset after the last visible record. */
export const latest = -1
/** Asks for the offset of the first record still kept. */
export const earliest = -2

/** Up to the last record that all in-sync replicas have, whether or not somebody's transaction is still open before it. */
const readUncommitted = 0

interface OffsetsWanted {
  readonly topic: string
  readonly at: typeof latest | typeof earliest
  readonly signal?: AbortSignal | undefined
}

/** One offset per partition of the topic. @throws {MillraceError} TOPIC_MISSING, KAFKA_DENIED; the signal's reason */
export function listOffsets(
  connection: KafkaConnection,
  lane: Lane,
  { topic, at, signal }: OffsetsWanted,
): Promise<number[]> {
  const attempt = async () => {
    try {
      return await listOnce(connection, lane, { topic, at, signal })
    } catch (error) {
      if (isRetriable(error)) await connection.refresh([topic])
      throw error
    }
  }
  return retrying(attempt, { doing: `list the offsets of topic ${topic}`, connection, signal })
}

async function listOnce(
  connection: KafkaConnection,
  lane: Lane,
  { topic, at, signal }: OffsetsWanted,
): Promise<number[]> {
  const count = await connection.partitionCount(topic, { signal })
  const byLeader = new Map<number, number[]>()
  for (let partition = 0; partition < count; partition += 1) {
    const leader = connection.leader(topic, partition)
    if (leader === undefined) throw new Error(`partition ${partition} of topic ${topic} has no leader`)
    byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition])
  }
  const offsets: number[] = []
  await Promise.all(
    [...byLeader].map(async ([leader, partitions]) => {
      const link = await lane.to(leader)
      const topics = [{ topic, partitions: partitions.map(partition => ({ partition, timestamp: at })) }]
      const request = { replicaId: -1, isolationLevel: readUncommitted, topics }
      const { responses } = await link.call(broker => broker.listOffsets(request))
      for (const { partition, offset } of responses[0]?.partitions ?? []) offsets[partition] = Number(offset)
    }),
  )
  return offsets
}
