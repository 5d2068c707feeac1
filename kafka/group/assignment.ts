// kafka/group/assignment: which member of a consumer group gets which partitions.
// Pure functions; only the group's leader uses them.

import { WireReader, WireWriter } from '../protocol/wire.ts'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface Member {
  readonly id: string
  /** The partitions that the member owned before, which it should keep. */
  readonly owned: readonly TopicPartition[]
}

/**
 * Topics whose partitions of the same number must be assigned to one member, and the number of
 * partitions of each.
 */
export interface TopicGroup {
  readonly topics: readonly string[]
  readonly partitions: number
}

export interface Assignment {
  readonly partitions: readonly TopicPartition[]
  readonly members: number
}

/**
 * Distributes every group of topics, and all groups together, as evenly as possible. Members keep
 * the partitions that they owned, up to their share. The result depends only on the arguments, and
 * not on the order of members.
 */
export function assign(members: readonly Member[], groups: readonly TopicGroup[]): Map<string, TopicPartition[]> {
  const ordered = [...members].sort((a, b) => (a.id < b.id ? -1 : 1))
  const shares = new Map(ordered.map(({ id }) => [id, [] as TopicPartition[]]))
  const totals = new Map(ordered.map(({ id }) => [id, 0]))
  for (const group of groups) {
    for (const [id, numbers] of shareOut(ordered, group, totals)) {
      totals.set(id, totals.get(id)! + numbers.length)
      for (const partition of numbers) shares.get(id)!.push(...group.topics.map(topic => ({ topic, partition })))
    }
  }
  return shares
}

/**
 * Partition numbers of one group by member. The remainder of the division goes to the members with
 * the fewest partitions in total.
 */
function shareOut(
  members: readonly Member[],
  { topics, partitions }: TopicGroup,
  totals: ReadonlyMap<string, number>,
): Map<string, number[]> {
  const fair = Math.floor(partitions / members.length)
  const free = new Set(Array.from({ length: partitions }, (_, partition) => partition))
  const shares = new Map<string, number[]>()
  for (const { id, owned } of members) {
    const kept = owned.filter(({ topic, partition }) => topic === topics[0] && free.has(partition)).slice(0, fair)
    for (const { partition } of kept) free.delete(partition)
    shares.set(
      id,
      kept.map(({ partition }) => partition),
    )
  }
  for (const partition of free) {
    const [poorest] = [...shares].sort(
      ([a, sharesA], [b, sharesB]) => sharesA.length - sharesB.length || totals.get(a)! - totals.get(b)!,
    )
    poorest![1].push(partition)
  }
  return shares
}

const version = 0

/**
 * A member's subscription, which it sends when it joins.
 * @see https://kafka.apache.org/documentation/#basic_ops_consumer_group
 */
export function encodeSubscription(topics: readonly string[], owned: readonly TopicPartition[]): Buffer {
  const writer = new WireWriter().int16(version)
  writer.array(topics, topic => writer.string(topic))
  return writer.bytes(Buffer.from(JSON.stringify(owned))).finish()
}

export function decodeOwned(subscription: Buffer): TopicPartition[] {
  const reader = new WireReader(subscription)
  reader.int16()
  reader.array(() => reader.string())
  const userData = reader.bytes()
  return userData === null || userData.length === 0 ? [] : (JSON.parse(userData.toString()) as TopicPartition[])
}

/** A member in the coordinator's response to the leader, with the subscription that it sent. */
export interface JoinedMember {
  readonly memberId: string
  readonly memberMetadata: Buffer
}

/** The assignment of each member, as the leader sends it to the coordinator. */
export function assignAll(joined: readonly JoinedMember[], groups: readonly TopicGroup[]) {
  const members = joined.map(({ memberId, memberMetadata }) => ({ id: memberId, owned: decodeOwned(memberMetadata) }))
  return [...assign(members, groups)].map(([memberId, partitions]) => ({
    memberId,
    memberAssignment: encodeAssignment({ partitions, members: members.length }),
  }))
}

/** One member's assignment, in the format that Kafka's own tools display. */
export function encodeAssignment({ partitions, members }: Assignment): Buffer {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partition } of partitions) byTopic.set(topic, [...(byTopic.get(topic) ?? []), partition])
  const writer = new WireWriter().int16(version)
  writer.array([...byTopic], ([topic, numbers]) => {
    writer.string(topic).array(numbers, partition => writer.int32(partition))
  })
  return writer.bytes(Buffer.from(JSON.stringify({ members }))).finish()
}

/** A member that the leader did not know gets an empty assignment. */
export function decodeAssignment(bytes: Buffer): Assignment {
  if (bytes.length === 0) return { partitions: [], members: 0 }
  const reader = new WireReader(bytes)
  reader.int16()
  const topics = reader.array(() => {
    const topic = reader.string()!
    return reader.array(() => ({ topic, partition: reader.int32() }))
  })
  const userData = reader.bytes()
  const { members } = JSON.parse(userData?.toString() ?? '{"members":0}') as { members: number }
  return { partitions: topics.flat(), members }
}
