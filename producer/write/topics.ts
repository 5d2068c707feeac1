// producer/write/topics: the topics of a pipeline, with every setting that matters.

import { deadLetterPartitions } from '../../contract/dead-letter.ts'
import {
  catalogTopic,
  deadLettersTopic,
  type Generation,
  generationsTopic,
  watermarksTopic,
} from '../../contract/generation.ts'
import { ensureTopic, ensureTopics, type TopicSpec } from '../../kafka/client/admin.ts'
import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import type { Config } from '../../runtime/config/config.ts'

/** Records are told apart from batch and request framing by this much. */
const batchOverhead = 64 * 1024
const dayMs = 86_400_000
/**
 * Of what is written down of all tables at once: 100,000 tables of a generation, 400,000 offsets of a watermark; and of a table in the
 * catalog: 1,600 columns, or 100,000 partitions.
 */
const largestRecord = 16 * 1024 * 1024

/** Makes the topic of generations. It is compacted, so that the last word on each stays. */
export async function ensureGenerationsTopic(
  kafka: KafkaConnection,
  config: Config,
  signal?: AbortSignal,
): Promise<void> {
  const settings = { ...safe(config), 'cleanup.policy': 'compact', 'max.message.bytes': String(largestRecord) }
  const { replication } = config.kafka
  await ensureTopic(
    kafka,
    { name: generationsTopic(config.name), partitions: 1, replication, config: settings },
    signal,
  )
}

/**
 * Makes the topics of a generation, or checks those that are there.
 * @throws {MillraceError} TOPIC_PARTITIONS_CHANGED; the signal's reason
 */
export async function ensureGenerationTopics(
  kafka: KafkaConnection,
  config: Config,
  { number, tables }: Pick<Generation, 'number' | 'tables'>,
  signal: AbortSignal,
): Promise<void> {
  const { replication, retentionMs, maxRecordBytes } = config.kafka
  const data = {
    ...safe(config),
    'cleanup.policy': 'delete',
    'retention.ms': String(retentionMs),
    'retention.bytes': '-1',
    'max.message.bytes': String(maxRecordBytes + batchOverhead),
  }
  const specs: TopicSpec[] = tables.map(({ topic, partitions }) => ({
    name: topic,
    partitions,
    replication,
    config: data,
  }))
  const writers = Object.keys(deadLetterPartitions).length
  specs.push({ name: deadLettersTopic(config.name, number), partitions: writers, replication, config: data })
  specs.push({
    name: watermarksTopic(config.name, number),
    partitions: 1,
    replication,
    // The newest must never go, however long the producer stands still; what is older is kept for a look back.
    config: {
      ...{ ...safe(config), 'cleanup.policy': 'compact', 'max.message.bytes': String(largestRecord) },
      ...{ 'min.compaction.lag.ms': String(7 * dayMs), 'segment.ms': String(dayMs) },
    },
  })
  specs.push({
    name: catalogTopic(config.name, number),
    partitions: 1,
    replication,
    config: { ...safe(config), 'cleanup.policy': 'compact', 'max.message.bytes': String(largestRecord) },
  })
  for (const [index, { drift }] of (await ensureTopics(kafka, specs, signal)).entries()) {
    for (const { name, wanted, found } of drift) {
      kafka.log.warn('a topic has another setting than it was made with', {
        topic: specs[index]!.name,
        setting: name,
        wanted,
        found: found ?? 'unknown',
      })
    }
  }
}

/**
 * Acknowledged records stay, and come back as they were written, whatever the brokers' own settings are. Their age is counted from when they
 * were appended: the producer's clock may be wrong, and brokers refuse what comes from the future, or delete at once what comes from the past.
 */
function safe({ kafka }: Config): TopicSpec['config'] {
  return {
    'min.insync.replicas': String(Math.max(1, kafka.replication - 1)),
    'unclean.leader.election.enable': 'false',
    'compression.type': 'producer',
    'message.timestamp.type': 'LogAppendTime',
  }
}
