// consumer/main: starts and stops the parts of the consumer, for one generation at a time.

import { type Clickhouse, connectClickhouse } from '../clickhouse/client.ts'
import { findDatabases } from '../clickhouse/generation-databases.ts'
import { mergeParts } from '../clickhouse/merge.ts'
import { withinQuota } from '../clickhouse/retrying.ts'
import { consumerGroup, deadLettersTopic, type Generation, watermarksTopic } from '../contract/generation.ts'
import { tableName } from '../contract/table.ts'
import { connectKafka, type KafkaConnection, type KafkaOptions } from '../kafka/client/cluster.ts'
import { openFetcher } from '../kafka/consumer/fetcher.ts'
import { joinGroup, type Membership, type TopicGroup } from '../kafka/group/group.ts'
import { openSchemaStore, type SchemaStore } from '../kafka/registry/registry.ts'
import { loadModel, type Model } from '../modeling/model.ts'
import type { Config } from '../runtime/config/config.ts'
import { Disposables } from '../runtime/disposables.ts'
import { MillraceError } from '../runtime/errors.ts'
import { flowLimitMs, healthRoutes, Pulse } from '../runtime/health.ts'
import { Answer, type Route, serve } from '../runtime/http.ts'
import type { Lifecycle } from '../runtime/lifecycle.ts'
import type { Log } from '../runtime/log.ts'
import { Failures, retry } from '../runtime/retry.ts'
import { announce, withdraw } from '../runtime/service-discovery.ts'
import type { ConsumerContext } from './assignment/assignment.ts'
import { GroupProgress } from './assignment/group-progress.ts'
import { reassigned } from './assignment/takeover.ts'
import { Aggregates } from './fold/aggregates.ts'
import { type GenerationSource, listGenerations, untilReplaced, waitForGeneration, wasAbandoned } from './generation.ts'
import { openDeadLetters, toDeadLetters } from './insert/dead-letter.ts'
import { Freshness } from './insert/freshness.ts'
import { guard, type Inserter } from './insert/inserter.ts'
import { consume } from './run.ts'
import { checkStableNames, openWarehouse, publishWarehouse, type Warehouse } from './setup.ts'
import { type ConsumerStatus, emptyStatus, statusOf, whyNothingFlows } from './status.ts'
import { answerVisible } from './visible.ts'
import { scheduleMerges } from './warehouse/merge-schedule.ts'
import { otherClusterHint, requireOwnDatabases } from './warehouse/own-databases.ts'
import { requireAllRows } from './warehouse/probe.ts'
import { hasWatermark, WatermarkFollower } from './warehouse/watermark.ts'

export interface ConsumerOptions {
  readonly config: Config
  readonly kafka: Omit<KafkaOptions, 'clientId' | 'log'>
  readonly clickhouse: { readonly url: string; readonly user: string; readonly password: string }
  readonly log: Log
  readonly lifecycle: Lifecycle
}

/**
 * Inserts changes until asked to stop.
 * @throws {MillraceError} for every error that needs an operator
 */
export async function runConsumer(options: ConsumerOptions): Promise<void> {
  const { config, log, lifecycle } = options
  const model = config.model === undefined ? undefined : loadModel(config.model, config.reportTimeZone)
  const failures = new Failures()
  let status: () => ConsumerStatus = () => ({ ...emptyStatus, lastError: failures.last })
  let visible: Route = () => new Answer(503, { error: 'the consumer reads no generation yet' })
  let stopsFlow: () => string | undefined = () => 'the consumer reads no generation yet'
  const limitMs = flowLimitMs(config.source.heartbeatSeconds)
  const pulse = new Pulse()
  const http = await serve({
    host: config.http.host,
    port: config.http.consumerPort,
    routes: {
      ...healthRoutes(pulse, () => stopsFlow()),
      '/status': () => status(),
      '/visible': request => visible(request),
    },
    log,
  })
  lifecycle.opened('status server', () => http.close())
  announce(config.directory, config.name, 'consumer', http.url)
  lifecycle.opened('service address', () => withdraw(config.directory, config.name, 'consumer'))
  const connect = () => connectKafka({ ...options.kafka, clientId: `${config.name}-consumer`, log })
  const connection = await pulse.during(retry(connect, { what: 'connect to Kafka', signal: lifecycle.signal, log }))
  lifecycle.opened('kafka', () => connection.close())
  const openSchemas = () => openSchemaStore(connection, config.kafka.registry)
  const schemas = await pulse.during(retry(openSchemas, { what: 'open the schemas', signal: lifecycle.signal, log }))
  lifecycle.opened('schemas', () => schemas.close())
  const fetcher = openFetcher(connection)
  const source: GenerationSource = { connection, fetcher, pipeline: config.name, log }
  while (!lifecycle.signal.aborted) {
    await pulse.during(checkDatabases({ ...options, failures }, source))
    const generation = await pulse.during(waitForGeneration(source, lifecycle.signal))
    const started = (context: ConsumerContext) => {
      status = () => statusOf(context)
      visible = ({ url }) => answerVisible(context.writer.inserter.clickhouse, url, lifecycle.signal)
      stopsFlow = () => whyNothingFlows(context, limitMs)
    }
    try {
      await consumeGeneration({ ...options, connection, schemas, model, source, pulse, failures, generation }, started)
    } catch (error) {
      if (!(await wasAbandoned(source, generation, { error, signal: lifecycle.signal }))) throw error
      log.warn('the producer abandoned the load of this generation', { generation: generation.number })
    }
  }
}

interface GenerationParts extends ConsumerOptions {
  readonly connection: KafkaConnection
  readonly schemas: SchemaStore
  readonly model: Model | undefined
  readonly source: GenerationSource
  readonly pulse: Pulse
  readonly failures: Failures
  readonly generation: Generation
}

/**
 * Inserts the changes of one generation until asked to stop, or until a newer generation replaces
 * it, even during setup.
 */
async function consumeGeneration(parts: GenerationParts, onStart: (context: ConsumerContext) => void): Promise<void> {
  const { generation, source, log, lifecycle } = parts
  log.info('consuming', { generation: generation.number, tables: generation.tables.length })
  const replaced = new AbortController()
  const signal = AbortSignal.any([lifecycle.signal, replaced.signal])
  let lost: unknown
  const watch = untilReplaced(source, generation, signal).then(
    () => replaced.abort(),
    error => {
      lost = error
      replaced.abort(error)
    },
  )
  const disposables = new Disposables()
  try {
    const context = await parts.pulse.during(openContext(parts, signal, disposables))
    onStart(context)
    await consume(context, signal)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    replaced.abort()
    await watch
    await disposables.close()
  }
  if (lost instanceof MillraceError) throw lost
}

/**
 * Checks that the generations in Kafka and the databases in ClickHouse belong together. Retries
 * while ClickHouse does not answer.
 * @throws {MillraceError} GENERATION_UNKNOWN, GENERATION_CHANGED
 */
async function checkDatabases(
  { config, clickhouse, log, lifecycle, failures }: ConsumerOptions & Pick<GenerationParts, 'failures'>,
  source: GenerationSource,
): Promise<void> {
  const { name: pipeline } = config
  const bare = connectClickhouse(clickhouse)
  try {
    const find = () => findDatabases(bare, pipeline)
    const databases = await retry(find, { what: 'look for databases', signal: lifecycle.signal, log, failures })
    const generations = await listGenerations(source, lifecycle.signal)
    const belonging = { pipeline, kafkaCluster: source.connection.clusterId, generations, databases }
    requireOwnDatabases(belonging)
    const doubt = otherClusterHint(belonging)
    if (doubt !== undefined) log.warn(doubt)
  } finally {
    await bare.close()
  }
}

/** `disposables` also contains what was opened before a failure. */
async function openContext(
  parts: GenerationParts,
  signal: AbortSignal,
  disposables: Disposables,
): Promise<ConsumerContext> {
  const { connection, generation, config, log, model, failures } = parts
  const setUp = () => openWarehouse({ ...parts, retries: { signal, log, failures } })
  const warehouse = await retry(setUp, { what: 'prepare ClickHouse', signal, log, failures })
  disposables.opened('clickhouse', () => warehouse.clickhouse.close())
  await retry(() => checkStableNames(warehouse, model), { what: 'look at the stable names', signal, log, failures })
  const topic = deadLettersTopic(config.name, generation.number)
  const letters = await openDeadLetters({ connection, topic, signal })
  disposables.opened('dead letters', () => letters.close())
  const fetcher = openFetcher(connection, { follows: true })
  disposables.opened('fetcher', () => fetcher.close())
  const reader = openFetcher(connection)
  disposables.opened('reader', () => reader.close())
  const groupId = consumerGroup(config.name, generation.number)
  const membership = joinGroup(connection, { groupId, groups: groupsOf(generation) })
  disposables.opened('group', () => membership.leave())
  const isLeader = () => leads(membership, generation)
  const merges = connectClickhouse({ ...parts.clickhouse, database: warehouse.database })
  disposables.opened('merges', scheduleMerges(merges, { log, isOurs: isLeader }))
  const requireOwnership = () => {
    if (!membership.ownsPartitions()) throw reassigned()
  }
  const stillHolds = async () => {
    parts.pulse.beat()
    requireOwnership()
  }
  const clickhouse = withinQuota(warehouse.clickhouse, { signal, log, failures, stillHolds })
  const { database, tables } = warehouse
  const onRefused = toDeadLetters(letters, log)
  const inserter: Inserter = { clickhouse, database, onRefused, requireOwnership, epoch: undefined }
  const { aggregates } = warehouse
  return {
    generation,
    pulse: parts.pulse,
    membership,
    fetcher,
    reader,
    writer: { inserter, tables, freshness: new Freshness(), log, failures },
    aggregates: new Aggregates({ clickhouse, generation, aggregates, guard: () => guard(inserter), log, failures }),
    watermarks: new WatermarkFollower(generation),
    watermarksTopic: watermarksTopic(config.name, generation.number),
    groupProgress: new GroupProgress({ generation, membership }),
    isLeader,
    publish: publishOnce(clickhouse, { ...parts, warehouse }),
  }
}

/** The member that owns the first partition. */
function leads({ partitions }: Membership, { tables: [first] }: Generation): boolean {
  return partitions.some(({ topic, partition }) => topic === first?.topic && partition === 0)
}

/** Publishes the views at the first call. A call after a failure tries again. */
function publishOnce(
  clickhouse: Clickhouse,
  { warehouse, model, generation, log }: GenerationParts & { readonly warehouse: Warehouse },
): () => Promise<void> {
  let isPublished = false
  return async () => {
    if (isPublished) return
    await requireAllRows(clickhouse)
    if (!(await hasWatermark(clickhouse))) await mergeParts(clickhouse, log)
    await publishWarehouse(warehouse, model)
    const names = [...warehouse.tables.values()].map(({ table }) => tableName(table)).join(' ')
    log.info('published', { generation: generation.number, tables: names })
    isPublished = true
  }
}

function groupsOf({ tables }: Generation): TopicGroup[] {
  const groups = new Map<string, TopicGroup>()
  for (const { group, topic, partitions } of tables) {
    groups.set(group, { topics: [...(groups.get(group)?.topics ?? []), topic], partitions })
  }
  return [...groups.values()]
}
