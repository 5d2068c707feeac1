// kafka/consumer/fetch-request: the Fetch request and its response, version 11.

import type { RawRequest } from '../client/broker.ts'
import { WireReader, WireWriter } from '../protocol/wire.ts'

export interface FetchPosition {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Default: the request's `maxBytes`. A larger first batch is returned whole. */
  readonly maxBytes?: number
}

export interface FetchLimits {
  /** How long the broker waits for `minBytes`. */
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
}

/** A request without its limits. kafka/consumer/fetch-session explains the fields. */
export interface FetchAsk {
  readonly session: { readonly id: number; readonly epoch: number }
  readonly positions: readonly Required<FetchPosition>[]
  readonly forgotten: readonly { readonly topic: string; readonly partition: number }[]
}

export interface FetchResponse {
  /** Of the whole response. */
  readonly errorCode: number
  readonly throttleMs: number
  readonly sessionId: number
  readonly partitions: readonly PartitionResponse[]
}

export interface PartitionResponse {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: number
  /** A view of the response. */
  readonly records: Buffer
}

const fetchApi = { apiKey: 1, apiVersion: 11, apiName: 'Fetch' } as const
const consumer = -1
/**
 * Read uncommitted. Our records are in no transaction. With read committed, an open transaction of
 * another writer would delay our records behind it.
 */
const readUncommitted = 0
const unknown = -1
const answerMarginMs = 20_000
const nothing = Buffer.alloc(0)

/** @see https://kafka.apache.org/protocol.html#The_Messages_Fetch */
export function fetchRequest({ session, positions, forgotten }: FetchAsk, limits: FetchLimits): RawRequest {
  const writer = new WireWriter(64 + (positions.length + forgotten.length) * 64)
  writer.int32(consumer).int32(limits.maxWaitMs).int32(limits.minBytes).int32(limits.maxBytes).int8(readUncommitted)
  writer.int32(session.id).int32(session.epoch)
  writer.array(runsOfTopics(positions), run => {
    writer.string(run[0]!.topic).array(run, ({ partition, offset, maxBytes }) => {
      writer.int32(partition).int32(unknown).int64(offset).int64(unknown).int32(maxBytes)
    })
  })
  writer.array(runsOfTopics(forgotten), run => {
    writer.string(run[0]!.topic).array(run, ({ partition }) => writer.int32(partition))
  })
  const noRack = ''
  writer.string(noRack)
  return { ...fetchApi, body: [writer.finish()], timeoutMs: limits.maxWaitMs + answerMarginMs }
}

export function parseFetchResponse(payload: Buffer): FetchResponse {
  const reader = new WireReader(payload)
  const throttleMs = reader.int32()
  const errorCode = reader.int16()
  const sessionId = reader.int32()
  const topics = reader.array(() => {
    const topic = reader.string()!
    return reader.array(() => parsePartition(reader, topic))
  })
  return { errorCode, throttleMs, sessionId, partitions: topics.flat() }
}

function parsePartition(reader: WireReader, topic: string): PartitionResponse {
  const partition = reader.int32()
  const errorCode = reader.int16()
  const highWatermark = reader.int64()
  const lastStableOffset = 8
  const logStartOffset = 8
  reader.offset += lastStableOffset + logStartOffset
  const abortedTransaction = 8 + 8
  reader.array(() => {
    reader.offset += abortedTransaction
  })
  const preferredReadReplica = 4
  reader.offset += preferredReadReplica
  const records = reader.bytes() ?? nothing
  return { topic, partition, errorCode, highWatermark, records }
}

/**
 * A topic may appear several times. This keeps the order of positions, in which the broker fills
 * the response.
 */
function runsOfTopics<T extends { readonly topic: string }>(positions: readonly T[]): T[][] {
  const runs: T[][] = []
  for (const position of positions) {
    const run = runs.at(-1)
    if (run?.[0]?.topic === position.topic) run.push(position)
    else runs.push([position])
  }
  return runs
}
