// kafka/group/permissions: what the brokers would let this user delete, asked before anything is deleted.
// Requests in versions that kafkajs does not speak.

import { randomUUID } from 'node:crypto'
import { answeredError, type RawRequest } from '../client/broker.ts'
import type { KafkaConnection } from '../client/cluster.ts'
import { retrying } from '../client/errors.ts'
import { WireReader, WireWriter } from '../protocol/wire.ts'
import { Coordinator } from './coordinator.ts'

/** Bits of a field of authorized operations are numbered as the operations of ACLs. @see org.apache.kafka.common.acl.AclOperation */
const deleteBit = 1 << 6
const authorizationFailed = [29, 30]
const timeoutMs = 15_000

/** A sentence for each reason with the way out; none when all of these, as far as they are there, could be deleted now. @throws {MillraceError} */
export async function whatKeepsInKafka(
  connection: KafkaConnection,
  { topics, groups }: { readonly topics: readonly string[]; readonly groups: readonly string[] },
): Promise<string[]> {
  const kept = await undeletableTopics(connection, topics)
  const reasons = kept.map(topic => `the user of Kafka lacks DELETE on topic ${topic}`)
  for (const group of groups) {
    if (!(await mayDeleteGroup(connection, group))) reasons.push(`the user of Kafka lacks DELETE on group ${group}`)
  }
  const denied = reasons.map(reason => `${reason}; add it with kafka-acls.sh --add --operation Delete`)
  return topics.length === 0 || (await mayTopicsBeDeleted(connection)) ? denied : [...denied, deletionDisabled]
}

/** What to say when topics cannot be deleted. */
export const deletionDisabled =
  'Kafka is set to delete no topic; set delete.topic.enable=true in the configuration of its controllers, and start them again'

/**
 * Whether the cluster deletes topics at all. Only a request to delete one tells: the controllers decide, and need not be set as the brokers are.
 * Nothing has this name.
 * @throws {MillraceError}
 */
export async function mayTopicsBeDeleted(connection: KafkaConnection): Promise<boolean> {
  const topics = [`millrace-is-deletion-enabled-${randomUUID()}`]
  const ask = async () => {
    try {
      await connection.ask(broker => broker.deleteTopics({ topics, timeout: timeoutMs }))
      return true
    } catch (error) {
      const answer = answeredError(error) ?? ''
      if (disabledAnswers.includes(answer)) return false
      if (enabledAnswers.includes(answer)) return true
      throw error
    }
  }
  return retrying(ask, { doing: 'ask whether topics may be deleted', connection, timeoutMs })
}

/** By the version of the request. Both come before the names are looked at. */
const disabledAnswers = ['TOPIC_DELETION_DISABLED', 'INVALID_REQUEST']
const enabledAnswers = ['UNKNOWN_TOPIC_OR_PARTITION', 'TOPIC_AUTHORIZATION_FAILED']

async function undeletableTopics(connection: KafkaConnection, topics: readonly string[]): Promise<string[]> {
  if (topics.length === 0) return []
  const ask = async () => parseMetadata(await connection.send(metadataRequest(topics)))
  const answers = await retrying(ask, { doing: 'ask for permissions of topics', connection, timeoutMs })
  return answers
    .filter(({ error, operations }) => authorizationFailed.includes(error) || (error === 0 && !mayDelete(operations)))
    .map(({ topic }) => topic)
}

/** Of a group that is not there, too. */
async function mayDeleteGroup(connection: KafkaConnection, groupId: string): Promise<boolean> {
  const coordinator = new Coordinator(connection, groupId)
  try {
    const ask = async () => parseGroup(await coordinator.send(describeRequest(groupId)))
    const doing = `ask for permissions of consumer group ${groupId}`
    const { error, operations } = await retrying(ask, { doing, connection, timeoutMs })
    return !authorizationFailed.includes(error) && mayDelete(operations)
  } finally {
    coordinator.close()
  }
}

/** The brokers leave the field at its least value when they do not tell. */
function mayDelete(operations: number): boolean {
  return operations === -(2 ** 31) || (operations & deleteBit) !== 0
}

/** @see https://kafka.apache.org/protocol.html#The_Messages_Metadata */
function metadataRequest(topics: readonly string[]): RawRequest {
  const writer = new WireWriter()
  writer.array(topics, topic => writer.string(topic))
  // No topic is created, of the cluster's operations nothing, of the topics' all is asked.
  writer.int8(0).int8(0).int8(1)
  return { apiKey: 3, apiVersion: 8, apiName: 'Metadata', body: [writer.finish()] }
}

function parseMetadata(payload: Buffer): { topic: string; error: number; operations: number }[] {
  const reader = new WireReader(payload)
  reader.int32()
  reader.array(() => [reader.int32(), reader.string(), reader.int32(), reader.string()])
  reader.string()
  reader.int32()
  return reader.array(() => {
    const error = reader.int16()
    const topic = reader.string()!
    reader.int8()
    reader.array(() => {
      reader.int16()
      for (let field = 0; field < 3; field++) reader.int32()
      for (let list = 0; list < 3; list++) reader.array(() => reader.int32())
    })
    return { topic, error, operations: reader.int32() }
  })
}

/** @see https://kafka.apache.org/protocol.html#The_Messages_DescribeGroups */
function describeRequest(groupId: string): RawRequest {
  const writer = new WireWriter()
  writer.array([groupId], id => writer.string(id))
  return { apiKey: 15, apiVersion: 3, apiName: 'DescribeGroups', body: [writer.int8(1).finish()] }
}

function parseGroup(payload: Buffer): { error: number; operations: number } {
  const reader = new WireReader(payload)
  reader.int32()
  const [group] = reader.array(() => {
    const error = reader.int16()
    for (let field = 0; field < 4; field++) reader.string()
    reader.array(() => [reader.string(), reader.string(), reader.string(), reader.bytes(), reader.bytes()])
    return { error, operations: reader.int32() }
  })
  return group!
}
