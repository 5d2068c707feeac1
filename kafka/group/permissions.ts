// kafka/group/permissions: what the user may delete, checked before anything is deleted.
// The requests need versions that kafkajs does not support.

import { randomUUID } from 'node:crypto'
import { answeredError, type RawRequest } from '../client/broker.ts'
import type { KafkaConnection } from '../client/cluster.ts'
import { retrying } from '../client/errors.ts'
import { WireReader, WireWriter } from '../protocol/wire.ts'
import { Coordinator } from './coordinator.ts'

/**
 * Bits of a field of authorized operations are numbered as the operations of ACLs.
 * @see org.apache.kafka.common.acl.AclOperation
 */
const deleteBit = 1 << 6
const authorizationFailed = [29, 30]
const timeoutMs = 15_000

/**
 * The reasons why these topics and groups cannot be deleted, each with a remedy; empty when all can
 * be deleted now. Missing ones are ignored.
 * @throws {MillraceError}
 */
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

/** The message for topics that cannot be deleted. */
export const deletionDisabled =
  'Kafka is set to delete no topic; set delete.topic.enable=true in the configuration of its controllers, and start them again'

/**
 * Whether the cluster allows the deletion of topics. Only a request to delete one shows this: the
 * controllers decide, and their settings may differ from those of the brokers. The request names a
 * topic that does not exist.
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

/** Error codes by the version of the request. The broker checks both before the names. */
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

/** Also for a group that does not exist. */
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

/** The minimum of int32: the broker did not compute the operations. */
function mayDelete(operations: number): boolean {
  return operations === -(2 ** 31) || (operations & deleteBit) !== 0
}

/** @see https://kafka.apache.org/protocol.html#The_Messages_Metadata */
function metadataRequest(topics: readonly string[]): RawRequest {
  const writer = new WireWriter()
  writer.array(topics, topic => writer.string(topic))
  // Creates no topic; requests the operations of the topics and not those of the cluster.
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
