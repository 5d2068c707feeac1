// producer/write/topics: the topics of a pipeline and their settings.

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

/** Headroom for the headers of batches and requests. */
const batchOverhead = 64 * 1024
const dayMs = 86_400_000
/**
 * Size of the largest record. It suffices for 100,000 tables of a generation, 400,000 offsets of a
 * watermark, and for a table in the catalog with 1,600 columns or 100,000 partitions.
 */
const largestRecord = 16 * 1024 * 1024

/**
 * Creates the generations topic. It is compacted, so that the last record of each generation stays.
 */
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
 * Creates the topics of a generation, or checks the existing ones.
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
    // The newest record must never be removed, however long the producer is stopped. Older ones are
    // kept for a while for inspection.
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
      kafka.log.warn('a topic has another setting than it was created with', {
        topic: specs[index]!.name,
        setting: name,
        wanted,
        found: found ?? 'unknown',
      })
    }
  }
}

/**
 * Keeps acknowledged records, unchanged, whatever the brokers' default settings. Their age counts
 * from the append, because the producer's clock may be wrong: brokers reject records with a time in
 * the future, and delete old ones at once.
 */
function safe({ kafka }: Config): TopicSpec['config'] {
  return {
    'min.insync.replicas': String(Math.max(1, kafka.replication - 1)),
    'unclean.leader.election.enable': 'false',
    'compression.type': 'producer',
    'message.timestamp.type': 'LogAppendTime',
  }
}
