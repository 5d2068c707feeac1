// kafka/assignment: which member of a consumer group gets which partitions.
// May know: kafka/wire. Pure; only the group's leader computes it.

import { WireReader, WireWriter } from './wire.ts'

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

/** Same-numbered partitions of one group of topics: assigned as a whole. */
interface Unit {
  readonly topics: readonly string[]
  readonly partition: number
}

/**
 * Shares the units out so that no member has more than one more than another. Members keep what they owned as far as that allows;
 * the result depends on nothing but the arguments, whatever their order.
 */
export function assign(members: readonly Member[], groups: readonly TopicGroup[]): Map<string, TopicPartition[]> {
  const units = groups.flatMap(({ topics, partitions }) =>
    Array.from({ length: partitions }, (_, partition) => ({ topics, partition })),
  )
  const ordered = [...members].sort((a, b) => (a.id < b.id ? -1 : 1))
  const shares = new Map(ordered.map(({ id }) => [id, [] as Unit[]]))
  const left = keepOwned(ordered, units, shares)
  for (const unit of left) {
    const [poorest] = [...shares.values()].sort((a, b) => a.length - b.length)
    poorest!.push(unit)
  }
  return new Map([...shares].map(([id, share]) => [id, share.flatMap(partitionsOf)]))
}

/** Gives members what they owned, up to a fair share; gives the units that are left. */
function keepOwned(members: readonly Member[], units: readonly Unit[], shares: Map<string, Unit[]>): Unit[] {
  const fair = Math.floor(units.length / members.length)
  let oneMore = units.length % members.length
  const free = new Map(units.map(unit => [unitKey(unit.topics[0]!, unit.partition), unit]))
  for (const { id, owned } of members) {
    const share = shares.get(id)!
    for (const { topic, partition } of owned) {
      const unit = free.get(unitKey(topic, partition))
      if (unit === undefined || share.length > fair || (share.length === fair && oneMore === 0)) continue
      if (share.length === fair) oneMore -= 1
      share.push(unit)
      free.delete(unitKey(topic, partition))
    }
  }
  return [...free.values()]
}

function partitionsOf({ topics, partition }: Unit): TopicPartition[] {
  return topics.map(topic => ({ topic, partition }))
}

function unitKey(topic: string, partition: number): string {
  return `${topic}/${partition}`
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
