// kafka/group/assignment: which member of a consumer group gets which partitions.
// Pure; only the group's leader computes it.

import { WireReader, WireWriter } from '../protocol/wire.ts'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface Member {
  readonly id: string
  /** What it owned before, if anything, so that it can keep it. */
  readonly owned: readonly TopicPartition[]
}

/** Topics whose same-numbered partitions must meet at one member, and how many partitions each has. */
export interface TopicGroup {
  readonly topics: readonly string[]
  readonly partitions: number
}

export interface Assignment {
  readonly partitions: readonly TopicPartition[]
  readonly members: number
}

/**
 * Shares out every group of topics, and all of them together, as evenly as their numbers allow. Members keep what they owned up to
 * that share; the result depends on nothing but the arguments, whatever the order of members.
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

/** Partition numbers of one group by member; those that do not divide evenly go to whoever has least in total. */
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

/** What a member says of itself when it joins. @see https://kafka.apache.org/documentation/#basic_ops_consumer_group */
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

/** A member as the coordinator names it to the leader, with the subscription that it sent. */
export interface JoinedMember {
  readonly memberId: string
  readonly memberMetadata: Buffer
}

/** The leader's answer to the coordinator: what each member is told. */
export function assignAll(joined: readonly JoinedMember[], groups: readonly TopicGroup[]) {
  const members = joined.map(({ memberId, memberMetadata }) => ({ id: memberId, owned: decodeOwned(memberMetadata) }))
  return [...assign(members, groups)].map(([memberId, partitions]) => ({
    memberId,
    memberAssignment: encodeAssignment({ partitions, members: members.length }),
  }))
}

/** What the leader tells a member, in the form that Kafka's own tools show. */
export function encodeAssignment({ partitions, members }: Assignment): Buffer {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partition } of partitions) byTopic.set(topic, [...(byTopic.get(topic) ?? []), partition])
  const writer = new WireWriter().int16(version)
  writer.array([...byTopic], ([topic, numbers]) => {
    writer.string(topic).array(numbers, partition => writer.int32(partition))
  })
  return writer.bytes(Buffer.from(JSON.stringify({ members }))).finish()
}

/** A member that the leader did not know of gets an empty assignment. */
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
