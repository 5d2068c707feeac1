// kafka/fetch-request: the Fetch request and its response, version 11, without a fetch session.
// May know: kafka/{broker,wire}.

import type { RawRequest } from './broker.ts'
import { WireReader, WireWriter } from './wire.ts'

export interface FetchPosition {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Default: the request's `maxBytes`. A first batch that is larger is given whole. */
  readonly maxBytes?: number
}

export interface FetchLimits {
  /** How long the broker waits for `minBytes`. */
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
}

export interface PartitionResponse {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: number
  readonly logStartOffset: number
  readonly records: Buffer
}

const fetchApi = { apiKey: 1, apiVersion: 11, apiName: 'Fetch' } as const
const consumer = -1
/** Of others' transactions too: an open one would hold up what stands behind it, and none of ours are in one. */
const readUncommitted = 0
const noSession = { id: 0, epoch: -1 }
const unknown = -1
const answerMarginMs = 20_000
const nothing = Buffer.alloc(0)

/** The broker fills up the response in the order of the positions. @see https://kafka.apache.org/protocol.html#The_Messages_Fetch */
export function fetchRequest(positions: readonly FetchPosition[], limits: FetchLimits): RawRequest {
  const writer = new WireWriter(64 + positions.length * 64)
  writer.int32(consumer).int32(limits.maxWaitMs).int32(limits.minBytes).int32(limits.maxBytes).int8(readUncommitted)
  writer.int32(noSession.id).int32(noSession.epoch)
  writer.array(runsOfTopics(positions), run => {
    writer.string(run[0]!.topic).array(run, ({ partition, offset, maxBytes }) => {
      writer
        .int32(partition)
        .int32(unknown)
        .int64(offset)
        .int64(unknown)
        .int32(maxBytes ?? limits.maxBytes)
    })
  })
  const noForgottenTopics = 0
  writer.int32(noForgottenTopics).string('')
  return { ...fetchApi, body: [writer.finish()], timeoutMs: limits.maxWaitMs + answerMarginMs }
}

/** Error code of the whole response, and what there is per partition; `records` are views of the payload. */
export function parseFetchResponse(payload: Buffer): { errorCode: number; partitions: PartitionResponse[] } {
  const throttleTime = 4
  const reader = new WireReader(payload, throttleTime)
  const errorCode = reader.int16()
  const sessionId = 4
  reader.offset += sessionId
  const topics = reader.array(() => {
    const topic = reader.string()!
    return reader.array(() => parsePartition(reader, topic))
  })
  return { errorCode, partitions: topics.flat() }
}

function parsePartition(reader: WireReader, topic: string): PartitionResponse {
  const partition = reader.int32()
  const errorCode = reader.int16()
  const highWatermark = reader.int64()
  const lastStableOffset = 8
  reader.offset += lastStableOffset
  const logStartOffset = reader.int64()
  const abortedTransaction = 8 + 8
  reader.array(() => {
    reader.offset += abortedTransaction
  })
  const preferredReadReplica = 4
  reader.offset += preferredReadReplica
  const records = reader.bytes() ?? nothing
  return { topic, partition, errorCode, highWatermark, logStartOffset, records }
}

/** A topic may appear several times, so the order of positions is kept. */
function runsOfTopics(positions: readonly FetchPosition[]): FetchPosition[][] {
  const runs: FetchPosition[][] = []
  for (const position of positions) {
    const run = runs.at(-1)
    if (run?.[0]?.topic === position.topic) run.push(position)
    else runs.push([position])
  }
  return runs
}
