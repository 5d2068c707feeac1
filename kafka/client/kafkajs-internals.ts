// kafka/client/kafkajs-internals: the internal modules of kafkajs that millrace uses. No other file
// imports them, and package.json pins the version.

import type { Socket } from 'node:net'
import BrokerOfKafkajs from 'kafkajs/src/broker/index.js'
import loggers from 'kafkajs/src/loggers/index.js'
import ConnectionPool from 'kafkajs/src/network/connectionPool.js'
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js'
import errors from 'kafkajs/src/protocol/error.js'
import metadata from 'kafkajs/src/protocol/requests/metadata/index.js'
import type { TlsFiles } from '../../runtime/config/tls-files.ts'

/** Requests of kafkajs' broker class, in its own types. None is on the hot path. */
export interface Broker {
  connect(): Promise<void>
  readonly versions: Readonly<Record<number, { readonly maxVersion: number } | undefined>>
  listOffsets(request: {
    replicaId: number
    isolationLevel: number
    topics: { topic: string; partitions: { partition: number; timestamp: number }[] }[]
  }): Promise<{ responses: { topic: string; partitions: { partition: number; offset: string }[] }[] }>
  initProducerId(request: {
    transactionalId: null
    transactionTimeout: number
  }): Promise<{ producerId: string; producerEpoch: number }>
  createTopics(request: {
    topics: {
      topic: string
      numPartitions: number
      replicationFactor: number
      configEntries: { name: string; value: string }[]
    }[]
    timeout: number
  }): Promise<unknown>
  deleteGroups(groupIds: string[]): Promise<{ results: { groupId: string; errorCode: number }[] }>
  describeGroups(request: {
    groupIds: string[]
  }): Promise<{ groups: readonly { groupId: string; state: string; members: readonly { clientId: string }[] }[] }>
  deleteTopics(request: { topics: string[]; timeout: number }): Promise<unknown>
  describeConfigs(request: {
    resources: { type: number; name: string; configNames: string[] }[]
  }): Promise<DescribedConfigs>
  findGroupCoordinator(request: { groupId: string; coordinatorType: number }): Promise<{
    coordinator: { nodeId: number }
  }>
  joinGroup(request: {
    groupId: string
    sessionTimeout: number
    rebalanceTimeout: number
    memberId: string
    groupProtocols: { name: string; metadata: Buffer }[]
  }): Promise<{
    generationId: number
    leaderId: string
    memberId: string
    members: { memberId: string; memberMetadata: Buffer }[]
  }>
  syncGroup(request: {
    groupId: string
    generationId: number
    memberId: string
    groupAssignment: { memberId: string; memberAssignment: Buffer }[]
  }): Promise<{ memberAssignment: Buffer }>
  heartbeat(request: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>
  offsetCommit(request: {
    groupId: string
    groupGenerationId: number
    memberId: string
    topics: { topic: string; partitions: { partition: number; offset: string; metadata: string }[] }[]
  }): Promise<unknown>
  offsetFetch(request: { groupId: string; topics: { topic: string; partitions: { partition: number }[] }[] }): Promise<{
    responses: { topic: string; partitions: { partition: number; offset: string; metadata: string | null }[] }[]
  }>
}

export interface DescribedConfigs {
  readonly resources: readonly {
    readonly resourceName: string
    readonly errorCode: number
    readonly configEntries: readonly { readonly configName: string; readonly configValue: string | null }[]
  }[]
}

export interface MetadataResponse {
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[]
  readonly clusterId: string | null
  readonly topicMetadata: readonly {
    readonly topicErrorCode: number
    readonly topic: string
    readonly isInternal: boolean
    readonly partitionMetadata: readonly {
      readonly partitionId: number
      readonly leader: number
    }[]
  }[]
}

export interface KafkajsLine {
  readonly namespace: string
  readonly log: { readonly message: string; readonly broker?: string }
}

export interface SocketRequest {
  readonly host: string
  readonly port: number
  readonly ssl: boolean | TlsFiles
  readonly onConnect: () => void
}

export interface KafkajsRequest {
  readonly request: object
  readonly response: { decode(payload: Buffer): Promise<MetadataResponse> }
}

interface ConnectionQueue {
  push(request: {
    entry: {
      apiKey: number
      apiVersion: number
      apiName: string
      correlationId: number
      resolve(answer: { payload: Buffer }): void
      reject(error: Error): void
    }
    expectResponse: boolean
    requestTimeout: number
    sendRequest(): void
  }): void
  rejectAll(error: Error): void
  destroy(): void
}

export interface KafkajsConnection {
  readonly socket: Socket
  readonly clientId: string
  readonly requestQueue: ConnectionQueue
  isConnected(): boolean
  isAuthenticated(): boolean
  authenticate(): Promise<void>
  nextCorrelationId(): number
  send<T>(protocol: {
    request: object
    response: { decode(payload: Buffer): Promise<T>; parse(decoded: T): Promise<T> }
  }): Promise<T>
}

interface ThrottledQueue {
  readonly pending: readonly unknown[]
  scheduleCheckPendingRequests(): void
}

// Without this, every connection polls its empty queue each millisecond (kafkajs issue 1751).
const queue = RequestQueue.prototype
const schedule = queue.scheduleCheckPendingRequests
queue.scheduleCheckPendingRequests = function scheduleIfPending(this: ThrottledQueue) {
  if (this.pending.length > 0) schedule.call(this)
}

export const kafkajs = {
  createLogger: loggers.createLogger,
  warnLevel: loggers.LEVELS.WARN,
  Broker: BrokerOfKafkajs,
  ConnectionPool,
  metadataRequest: metadata.protocol({ version: 6 }),
  createErrorFromCode: errors.createErrorFromCode,
}
