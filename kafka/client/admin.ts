// kafka/client/admin: creates topics with explicit settings, and describes, lists and deletes
// topics.

import { orAborted } from '../../runtime/wait.ts'
import { answeredError, errorFromCode } from './broker.ts'
import type { KafkaConnection } from './cluster.ts'
import { describe, kafkaError, retrying } from './errors.ts'

export interface TopicSpec {
  readonly name: string
  readonly partitions: number
  /** Replicas per partition; −1 means the brokers' default. */
  readonly replication: number
  /**
   * Every setting that matters, by its Kafka name. The brokers' defaults apply to all others, and
   * may change later.
   */
  readonly config: Readonly<Record<string, string>>
}

/** A setting whose value differs from the expected one. */
interface ConfigDrift {
  readonly name: string
  readonly wanted: string
  /** Null when the broker does not return the value. */
  readonly found: string | null
}

export interface EnsuredTopic {
  readonly isNew: boolean
  readonly drift: readonly ConfigDrift[]
}

const topicResource = 2
/** @see https://kafka.apache.org/protocol.html#protocol_error_codes */
const requestTimedOut = 7
const timeoutMs = 15_000

/**
 * Creates the topic and waits until every partition has a leader. An existing topic is not changed.
 * @throws {MillraceError} TOPIC_PARTITIONS_CHANGED when it exists with another number of
 *   partitions; KAFKA_REFUSED, KAFKA_DENIED; the signal's reason
 */
export async function ensureTopic(
  connection: KafkaConnection,
  topic: TopicSpec,
  signal?: AbortSignal,
): Promise<EnsuredTopic> {
  const isNew = await createTopic(connection, topic, signal)
  await connection.requirePartitions(topic.name, topic.partitions, { signal })
  return { isNew, drift: isNew ? [] : await findDrift(connection, topic, signal) }
}

/** Topics per request: the controller needs time for each partition. */
const topicsPerRequest = 50

/** The same for many topics, most of which are new, in the given order. */
export async function ensureTopics(
  connection: KafkaConnection,
  topics: readonly TopicSpec[],
  signal?: AbortSignal,
): Promise<EnsuredTopic[]> {
  const names = topics.map(({ name }) => name)
  const { topicMetadata } = await orAborted(connection.metadata(names), signal)
  const known = new Set(topicMetadata.filter(({ topicErrorCode }) => topicErrorCode === 0).map(({ topic }) => topic))
  const missing = topics.filter(({ name }) => !known.has(name))
  const made = new Set<string>()
  for (let first = 0; first < missing.length; first += topicsPerRequest) {
    const some = missing.slice(first, first + topicsPerRequest)
    const request = { topics: some.map(creationOf), timeout: timeoutMs }
    try {
      await orAborted(
        connection.ask(broker => broker.createTopics(request)),
        signal,
      )
      for (const { name } of some) made.add(name)
    } catch (error) {
      signal?.throwIfAborted()
      // The topics are created again one by one, so that the error names the refused one.
      connection.log.debug('topics could not be made together', { reason: describe(error) })
    }
  }
  await orAborted(connection.refresh(names), signal)
  const ensured: EnsuredTopic[] = []
  for (const topic of topics) {
    if (made.has(topic.name)) {
      await connection.requirePartitions(topic.name, topic.partitions, { signal })
      ensured.push({ isNew: true, drift: [] })
    } else ensured.push(await ensureTopic(connection, topic, signal))
  }
  return ensured
}

/** Names of the topics with this prefix, without internal ones, sorted. @throws {MillraceError} */
export async function listTopics(connection: KafkaConnection, prefix: string): Promise<string[]> {
  const { topicMetadata } = await connection.metadata([])
  return topicMetadata
    .filter(({ topic, isInternal, topicErrorCode }) => !isInternal && topicErrorCode === 0 && topic.startsWith(prefix))
    .map(({ topic }) => topic)
    .sort()
}

/**
 * Deletes these topics and waits until the brokers no longer list them. A missing topic is no
 * error.
 * @throws {MillraceError} KAFKA_REFUSED, KAFKA_DENIED, KAFKA_UNREACHABLE; the signal's reason
 */
export async function deleteTopics(
  connection: KafkaConnection,
  topics: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  for (const topic of topics) {
    const attempt = async () => {
      try {
        await connection.ask(broker => broker.deleteTopics({ topics: [topic], timeout: timeoutMs }))
      } catch (error) {
        if (answeredError(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error
      }
      connection.forget(topic)
    }
    await retrying(attempt, { doing: `delete topic ${topic}`, connection, signal, timeoutMs })
  }
  await untilGone(connection, topics, signal)
}

/**
 * The controller answers before the brokers have applied the deletion: they may still list the
 * topics for a moment.
 */
async function untilGone(
  connection: KafkaConnection,
  topics: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const look = async () => {
    const listed = new Set(await listTopics(connection, ''))
    if (topics.some(topic => listed.has(topic))) throw errorFromCode(requestTimedOut)
  }
  await retrying(look, { doing: `confirm the deletion of topics: ${topics.join(', ')}`, connection, signal, timeoutMs })
}

/** @returns false when the topic existed already */
function createTopic(connection: KafkaConnection, spec: TopicSpec, signal: AbortSignal | undefined): Promise<boolean> {
  const attempt = async () => {
    try {
      await connection.ask(broker => broker.createTopics({ topics: [creationOf(spec)], timeout: timeoutMs }))
      return true
    } catch (error) {
      if (answeredError(error) === 'TOPIC_ALREADY_EXISTS') return false
      throw error
    }
  }
  return retrying(attempt, { doing: `create topic ${spec.name}`, connection, signal, timeoutMs })
}

function creationOf({ name, partitions, replication, config }: TopicSpec) {
  const configEntries = Object.entries(config).map(([setting, value]) => ({ name: setting, value }))
  return { topic: name, numPartitions: partitions, replicationFactor: replication, configEntries }
}

async function findDrift(
  connection: KafkaConnection,
  { name, config }: TopicSpec,
  signal: AbortSignal | undefined,
): Promise<ConfigDrift[]> {
  const resource = { type: topicResource, name, configNames: Object.keys(config) }
  const attempt = () => connection.ask(broker => broker.describeConfigs({ resources: [resource] }))
  const { resources } = await retrying(attempt, {
    doing: `read the settings of topic ${name}`,
    connection,
    signal,
    timeoutMs,
  })
  const [described] = resources
  if (described === undefined || described.errorCode !== 0)
    throw kafkaError(errorFromCode(described?.errorCode ?? -1), 'read the settings of a topic', name)
  const found = new Map(described.configEntries.map(({ configName, configValue }) => [configName, configValue]))
  return Object.entries(config)
    .filter(([setting, wanted]) => found.get(setting) !== wanted)
    .map(([setting, wanted]) => ({ name: setting, wanted, found: found.get(setting) ?? null }))
}
