// kafka/producer/produce-request: the Produce request and its response, version 7.

import type { RawRequest } from '../client/broker.ts'
import { WireReader, WireWriter } from '../protocol/wire.ts'

export interface PartitionBatch {
  readonly topic: string
  readonly partition: number
  /** One whole record batch. */
  readonly batch: Buffer
}

export interface ProduceResult {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  /**
   * Offset of the batch's first record. For a repeated batch, it is the offset of the first time.
   */
  readonly baseOffset: number
}

const produce = { apiKey: 0, apiVersion: 7, apiName: 'Produce' } as const
const allReplicas = -1
/** How long the broker waits for the replicas before it responds with REQUEST_TIMED_OUT. */
const replicationTimeoutMs = 10_000

/** @see https://kafka.apache.org/protocol.html#The_Messages_Produce */
export function produceRequest(batches: readonly PartitionBatch[]): RawRequest {
  const topics = groupByTopic(batches)
  const body: Buffer[] = []
  let writer = new WireWriter().string(null).int16(allReplicas).int32(replicationTimeoutMs).int32(topics.length)
  for (const ofTopic of topics) {
    writer.string(ofTopic[0]!.topic).int32(ofTopic.length)
    for (const { partition, batch } of ofTopic) {
      body.push(writer.int32(partition).int32(batch.length).finish(), batch)
      writer = new WireWriter()
    }
  }
  return { ...produce, body }
}

export function parseProduceResponse(payload: Buffer): ProduceResult[] {
  const reader = new WireReader(payload)
  return reader
    .array(() => {
      const topic = reader.string()!
      return reader.array(() => {
        const partition = reader.int32()
        const errorCode = reader.int16()
        const baseOffset = reader.int64()
        const logAppendTime = 8
        const logStartOffset = 8
        reader.offset += logAppendTime + logStartOffset
        return { topic, partition, errorCode, baseOffset }
      })
    })
    .flat()
}

function groupByTopic(batches: readonly PartitionBatch[]): PartitionBatch[][] {
  const topics = new Map<string, PartitionBatch[]>()
  for (const batch of batches) {
    const ofTopic = topics.get(batch.topic)
    if (ofTopic) ofTopic.push(batch)
    else topics.set(batch.topic, [batch])
  }
  return [...topics.values()]
}
