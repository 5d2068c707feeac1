// kafka/group/coordinator: requests to the broker that coordinates a consumer group.

import { MillraceError } from '../../runtime/errors.ts'
import { answeredError, type BrokerLink, errorFromCode, isRetriable, type RawRequest } from '../client/broker.ts'
import type { BrokerConnections } from '../client/broker-connections.ts'
import type { KafkaConnection } from '../client/cluster.ts'
import { kafkaError, retrying } from '../client/errors.ts'
import type { Broker } from '../client/kafkajs-internals.ts'
import type { TopicPartition } from './assignment.ts'

export interface OffsetCommit extends TopicPartition {
  /** The next record to process. */
  readonly offset: number
  /** Any text, by default up to 4096 bytes (`offset.metadata.max.bytes`). */
  readonly metadata: string
}

/**
 * The member that commits. The coordinator refuses the commit once another group generation has
 * begun.
 */
export interface MemberIdentity {
  readonly memberId: string
  readonly generation: number
}

const groupCoordinator = 0
const noOffset = -1
const nonEmptyGroup = 68
const groupNotFound = 69

/** The partitions of a member from one rebalance to the next. */
export interface GroupGeneration extends MemberIdentity {
  readonly partitions: readonly TopicPartition[]
  /** The member that computed the assignment. Its id differs after the group was deleted. */
  readonly leaderId: string
  readonly members: number
  /**
   * Aborted with the reason FENCED once the coordinator no longer accepts commits of this group
   * generation.
   */
  readonly over: AbortController
  /**
   * A rebalance has begun: the member may commit the batches that it has begun, but not begin
   * others.
   */
  isRevoked: boolean
}

/** Whether its member may begin to process records. */
export function isLive(generation: GroupGeneration | undefined): generation is GroupGeneration {
  return generation !== undefined && !generation.isRevoked && !generation.over.signal.aborted
}

/** Errors by which the coordinator says that a member no longer belongs to the group. */
export const memberLost: ReadonlySet<string | undefined> = new Set([
  'UNKNOWN_MEMBER_ID',
  'ILLEGAL_GENERATION',
  'FENCED_INSTANCE_ID',
])

export class Coordinator {
  readonly #connection: KafkaConnection
  readonly #groupId: string
  readonly #connections: BrokerConnections
  #nodeId: number | undefined

  constructor(connection: KafkaConnection, groupId: string) {
    this.#connection = connection
    this.#groupId = groupId
    this.#connections = connection.openConnections()
  }

  /**
   * Makes one attempt. After a retriable error, the next attempt looks for the coordinator again.
   * @throws kafkajs' errors
   */
  ask<T>(request: (broker: Broker) => Promise<T>): Promise<T> {
    return this.#withLink(link => link.call(request))
  }

  /** As `ask`, for a request encoded here. @returns the body of the response */
  send(request: RawRequest): Promise<Buffer> {
    return this.#withLink(link => link.send(request))
  }

  async #withLink<T>(use: (link: BrokerLink) => Promise<T>): Promise<T> {
    try {
      this.#nodeId ??= await this.#find()
      return await use(await this.#connections.to(this.#nodeId))
    } catch (error) {
      if (isRetriable(error)) this.#nodeId = undefined
      throw error
    }
  }

  /**
   * Commits all offsets in one request, so the coordinator stores all of them or none.
   * @throws {MillraceError} FENCED when the member's generation is over; KAFKA_REFUSED,
   *   KAFKA_DENIED; the signal's reason
   */
  async commit(offsets: readonly OffsetCommit[], member: MemberIdentity, signal: AbortSignal): Promise<void> {
    const groupId = this.#groupId
    const request = {
      groupId,
      groupGenerationId: member.generation,
      memberId: member.memberId,
      topics: byTopic(offsets, ({ partition, offset, metadata }) => ({ partition, offset: String(offset), metadata })),
    }
    const attempt = async () => {
      try {
        await this.ask(broker => broker.offsetCommit(request))
      } catch (error) {
        const answer = answeredError(error)
        if (memberLost.has(answer) || answer === 'REBALANCE_IN_PROGRESS') throw fenced(groupId, member, error)
        if (answer === 'OFFSET_METADATA_TOO_LARGE') throw metadataTooLarge(groupId, error)
        throw error
      }
    }
    await retrying(attempt, { doing: `commit offsets of group ${groupId}`, connection: this.#connection, signal })
  }

  /**
   * Committed offsets of these partitions, in their order; offset −1 where none was committed.
   * @throws {MillraceError}; the signal's reason
   */
  async committed(partitions: readonly TopicPartition[], signal: AbortSignal): Promise<OffsetCommit[]> {
    if (partitions.length === 0) return []
    const request = { groupId: this.#groupId, topics: byTopic(partitions, ({ partition }) => ({ partition })) }
    const { responses } = await retrying(() => this.ask(broker => broker.offsetFetch(request)), {
      doing: `read the offsets of group ${this.#groupId}`,
      connection: this.#connection,
      signal,
    })
    const found = new Map<string, OffsetCommit>()
    for (const { topic, partitions: ofTopic } of responses)
      for (const { partition, offset, metadata } of ofTopic)
        found.set(`${topic}/${partition}`, { topic, partition, offset: Number(offset), metadata: metadata ?? '' })
    return partitions.map(
      ({ topic, partition }) =>
        found.get(`${topic}/${partition}`) ?? { topic, partition, offset: noOffset, metadata: '' },
    )
  }

  close(): void {
    this.#connections.close()
  }

  async #find(): Promise<number> {
    const request = { groupId: this.#groupId, coordinatorType: groupCoordinator }
    const { coordinator } = await this.#connection.ask(broker => broker.findGroupCoordinator(request))
    await this.#connection.refresh([])
    return coordinator.nodeId
  }
}

function byTopic<P extends TopicPartition, T>(
  partitions: readonly P[],
  map: (partition: P) => T,
): { topic: string; partitions: T[] }[] {
  const topics = new Map<string, T[]>()
  for (const partition of partitions) {
    const ofTopic = topics.get(partition.topic)
    if (ofTopic) ofTopic.push(map(partition))
    else topics.set(partition.topic, [map(partition)])
  }
  return [...topics].map(([topic, ofTopic]) => ({ topic, partitions: ofTopic }))
}

export function fenced(groupId: string, { generation }: { generation: number }, cause?: unknown): MillraceError {
  return new MillraceError('FENCED', {
    what: `generation ${generation} of consumer group ${groupId} is over`,
    where: groupId,
    next: 'none: the new owner of the partitions continues',
    ...(cause === undefined ? {} : { cause }),
  })
}

function metadataTooLarge(groupId: string, cause: unknown): MillraceError {
  return kafkaError(cause, `commit offsets of group ${groupId}; raise the brokers' offset.metadata.max.bytes`, groupId)
}

const adminTimeoutMs = 30_000

/**
 * Number of the group's members, 0 if only its offsets exist; undefined when there is no such
 * group.
 * @throws {MillraceError}
 */
export function groupMembers(connection: KafkaConnection, groupId: string): Promise<number | undefined> {
  return asking(connection, groupId, `describe consumer group ${groupId}`, async broker => {
    const { groups } = await broker.describeGroups({ groupIds: [groupId] })
    const [group] = groups
    return group === undefined || group.state === 'Dead' ? undefined : group.members.length
  })
}

/**
 * Deletes the group and its offsets. A missing group is no error. Waits a while for members to
 * leave or time out.
 * @throws {MillraceError} GROUP_ACTIVE when members remain; KAFKA_REFUSED, KAFKA_DENIED
 */
export function deleteGroup(connection: KafkaConnection, groupId: string): Promise<void> {
  return asking(connection, groupId, `delete consumer group ${groupId}`, async broker => {
    const { results } = await broker.deleteGroups([groupId])
    const code = results[0]?.errorCode ?? 0
    if (code === nonEmptyGroup) throw groupActive(groupId)
    if (code !== 0 && code !== groupNotFound) throw errorFromCode(code)
  })
}

/**
 * Waits a while for members to leave or time out.
 * @throws {MillraceError} GROUP_ACTIVE when members remain; KAFKA_REFUSED, KAFKA_DENIED
 */
export function requireNoMembers(connection: KafkaConnection, groupId: string): Promise<void> {
  return asking(connection, groupId, `see consumer group ${groupId} empty`, async broker => {
    const { groups } = await broker.describeGroups({ groupIds: [groupId] })
    if (groups.some(({ members }) => members.length > 0)) throw groupActive(groupId)
  })
}

async function asking<T>(
  connection: KafkaConnection,
  groupId: string,
  doing: string,
  request: (broker: Broker) => Promise<T>,
): Promise<T> {
  const coordinator = new Coordinator(connection, groupId)
  try {
    const options = { doing, connection, timeoutMs: adminTimeoutMs }
    return await retrying(() => coordinator.ask(request), options)
  } finally {
    coordinator.close()
  }
}

function groupActive(groupId: string): MillraceError {
  return new MillraceError('GROUP_ACTIVE', {
    what: 'a consumer still belongs to the group whose offsets are to be removed',
    where: `consumer group ${groupId}`,
    next: 'stop the consumers of this generation, wherever they run',
  })
}
