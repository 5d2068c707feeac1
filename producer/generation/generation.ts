// producer/generation/generation: prepares the generation to stream: resumes it, or begins and
// loads it.

import { randomUUID } from 'node:crypto'
import type { Watermark } from '../../contract/generation.ts'
import {
  type Generation,
  type GenerationTable,
  generationFormat,
  publicationName,
  publicationOf,
  slotName,
} from '../../contract/generation.ts'
import { topicName } from '../../contract/names.ts'
import { ownerMark } from '../../contract/owner.ts'
import { refusalRules } from '../../contract/refusal.ts'
import { tableName } from '../../contract/table.ts'
import { readGenerations, writeGeneration } from '../../kafka/generations-topic.ts'
import { type Client, withClient } from '../../postgres/client/client.ts'
import { watchBlocked } from '../../postgres/client/waiting.ts'
import { identify, otherDatabase } from '../../postgres/replication/history.ts'
import { createPublication } from '../../postgres/replication/publication.ts'
import type { Config } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { orAborted } from '../../runtime/wait.ts'
import type { CapturedTable } from '../capture/captured-table.ts'
import { unclassifiedError } from '../capture/column-classification.ts'
import { type RegisteredTable, registerTables } from '../capture/schemas.ts'
import { generationChanged, inspectSource, type Source } from '../capture/source.ts'
import { writeCatalog } from '../catalog/catalog.ts'
import { recordCatalog } from '../catalog/recording.ts'
import { CatalogWatch } from '../catalog/watch.ts'
import type { ProducerContext } from '../context.ts'
import { reportBlocked } from '../waits.ts'
import { ensureGenerationsTopic, ensureGenerationTopics } from '../write/topics.ts'
import { abandon, removeGeneration, writeAbandoned } from './cleanup.ts'
import { loadTables } from './load.ts'
import { type Lock, lockName, takeLock } from './lock.ts'
import { type Plan, planGeneration } from './plan.ts'
import { refuseRemains } from './remains.ts'
import { resumeTables } from './resume.ts'

/** After a stop, the producer has this long to undo a load. */
const undoLimitMs = 1_500

/** A live generation. No other process works on it while the lock is held. */
export interface Prepared {
  readonly generation: Generation
  readonly tables: readonly RegisteredTable[]
  readonly watch: CatalogWatch
  /** The watermark of the initial load, when it has just been done. */
  readonly loaded?: Watermark
}

/**
 * Finds or creates the generation to stream, and keeps its lock while `work` uses it.
 * @param fresh begin a new generation although there is a live one
 * @throws {MillraceError} GENERATION_CHANGED, PREFLIGHT_FAILED, TABLE_NOT_CAPTURABLE,
 *   VALUE_REFUSED, PRODUCER_RUNNING, and those of Postgres and Kafka
 */
export async function withGeneration(
  context: ProducerContext,
  fresh: boolean,
  work: (prepared: Prepared, lost: Promise<never>) => Promise<void>,
): Promise<void> {
  const { config, kafka, url, progress, signal } = context
  await ensureGenerationsTopic(kafka, config, signal)
  const { plan, interrupted } = planGeneration(await knownGenerations(context), fresh)
  for (const generation of interrupted) await giveUp(context, generation, plan.kind === 'resume')
  const number = plan.kind === 'begin' ? plan.number : plan.generation.number
  progress.generation = number
  const lock = await takeLock(url, lockName(config.name, number), signal)
  try {
    requireSamePlan(plan, planGeneration(await knownGenerations(context), fresh).plan)
    const prepared = plan.kind === 'begin' ? await begin(context, number, lock) : await resume(context, plan.generation)
    await work(prepared, lock.lost)
  } finally {
    await lock.release()
  }
}

function knownGenerations({ fetcher, config, signal }: ProducerContext): Promise<Generation[]> {
  return readGenerations(fetcher, config.name, signal)
}

/**
 * Another producer may have had the lock after the plan was made, and may have begun, loaded or
 * dropped the same generation.
 */
function requireSamePlan(plan: Plan, now: Plan): void {
  const numberOf = (each: Plan) => (each.kind === 'begin' ? each.number : each.generation.number)
  if (plan.kind === now.kind && numberOf(plan) === numberOf(now)) return
  throw new MillraceError('PRODUCER_RUNNING', {
    what: 'another producer has worked on the generations meanwhile',
    where: `generation ${numberOf(plan)}`,
    next: 'none: this producer looks at the generations again',
  })
}

/** Beside a live generation, another process may be loading the next one. */
async function giveUp(context: ProducerContext, generation: Generation, isOptional: boolean): Promise<void> {
  try {
    await abandon(context, generation)
  } catch (error) {
    if (!(isOptional && error instanceof MillraceError && error.code === 'PRODUCER_RUNNING')) throw error
    context.log.info('another producer is loading a generation', { generation: generation.number })
  }
}

async function resume(context: ProducerContext, generation: Generation): Promise<Prepared> {
  context.progress.slot = generation.slot
  const server = await identify(context.url, context.signal)
  if (server.source !== generation.source) throw otherDatabase(generation.source, server.source)
  if (context.kafka.clusterId !== generation.kafkaCluster) {
    const what = `its topics were made in the Kafka cluster ${generation.kafkaCluster}, and this is ${context.kafka.clusterId}`
    throw generationChanged(what, `generation ${generation.number}`)
  }
  checkPublication(generation, context.config)
  checkRefusals(generation, context.config)
  const resumed = await resumeTables(context, generation)
  const { number, slot, tables } = generation
  context.log.info('resuming', { generation: number, tables: tables.length, slot })
  return { generation, ...resumed }
}

/** @throws {MillraceError} GENERATION_CHANGED */
function checkPublication(generation: Generation, { source }: Config): void {
  const what = otherPublication(generation, source.publication)
  if (what !== undefined) throw generationChanged(what, `generation ${generation.number}`)
}

/**
 * Why a generation cannot continue with the present setting `source.publication`, as a sentence.
 */
export function otherPublication({ publication }: Generation, now: string | undefined): string | undefined {
  if (publication === now) return undefined
  const value = (name: string | undefined) => name ?? 'not set'
  return `source.publication was ${value(publication)} when it began and is ${value(now)}: changes that the other publication does not send would be lost`
}

/**
 * The rules for refused rows must not change within a generation. @throws {MillraceError}
 * GENERATION_CHANGED
 */
function checkRefusals(generation: Generation, { kafka: { maxRecordBytes } }: Config): void {
  const where = `generation ${generation.number}`
  const why = 'rows that were refused would be accepted now, or the reverse, and sums would be wrong'
  if (generation.maxRecordBytes !== maxRecordBytes) {
    const what = `kafka.maxRecordBytes was ${generation.maxRecordBytes} when it began and is ${maxRecordBytes}: ${why}`
    throw generationChanged(what, where)
  }
  if (generation.refusalRules !== refusalRules) {
    const what = `it began with version ${generation.refusalRules} of the rules for refused values, and this millrace has version ${refusalRules}: ${why}`
    throw generationChanged(what, where)
  }
}

/**
 * Before a load, an unclassified column is an error. While a generation is live, it is only
 * withheld.
 */
function refuseUnclassified(captured: readonly CapturedTable[]): void {
  const tables = captured.map(({ table, guard }) => ({ name: tableName(table), columns: guard?.unclassified ?? [] }))
  const undecided = tables.filter(({ columns }) => columns.length > 0)
  if (undecided.length > 0) throw unclassifiedError(undecided)
}

async function begin(context: ProducerContext, number: number, lock: Lock): Promise<Prepared> {
  const { config, kafka, log, progress, signal } = context
  const id = randomUUID()
  const { publication } = config.source
  const slot = slotName(config.name, { number, id, publication })
  progress.slot = slot
  const { server, tables: captured, sources } = await inspectSource(context, slot)
  refuseUnclassified(captured)
  await refuseRemains(context, { generations: await knownGenerations(context), identity: server.source })
  const tables = captured.map(table => describeTable(config.name, number, table))
  const announced: Generation = {
    ...{ format: generationFormat, number, id, state: 'announced', slot, publication },
    ...{ source: server.source, timeline: server.timeline, kafkaCluster: kafka.clusterId },
    ...{ maxRecordBytes: config.kafka.maxRecordBytes, refusalRules, consistentPoint: 0, tables },
  }
  await writeGeneration(kafka, config.name, announced, signal)
  const prepared = await load(context, { announced, captured, sources, lock })
  // When this write fails, nothing is undone: the record may have been written. The next start
  // continues from the record that it finds.
  await writeGeneration(kafka, config.name, prepared.generation, signal)
  log.info('live', { generation: number, slot })
  return prepared
}

interface Beginning {
  readonly announced: Generation
  readonly captured: readonly CapturedTable[]
  readonly sources: Source['sources']
  readonly lock: Lock
}

/** Creates what an announced generation needs, and loads it. Undoes everything when that fails. */
async function load(context: ProducerContext, { announced, captured, sources, lock }: Beginning): Promise<Prepared> {
  const { config, url, kafka, schemas, log, signal } = context
  try {
    if (announced.publication === undefined) await publish(context, announced, captured)
    await ensureGenerationTopics(kafka, config, announced, signal)
    const publication = publicationOf(config.name, announced)
    const catalog = await withClient(url, client => recordCatalog(client, { publication, sources }), signal)
    await writeCatalog(context, announced, catalog)
    const tables = await orAborted(registerTables(schemas, announced.tables, captured), signal)
    // Written only now, so that a reader of this record finds the topics and schemas.
    const loading: Generation = { ...announced, state: 'loading' }
    await writeGeneration(kafka, config.name, loading, signal)
    const loaded = await loadTables(context, { generation: loading, tables, lost: lock.lost })
    const watch = new CatalogWatch(context, loading, { catalog, captured })
    await withClient(url, client => watch.requireUnchanged(client), signal)
    return { generation: { ...loading, state: 'live', consistentPoint: loaded.lsn }, tables, watch, loaded }
  } catch (error) {
    // At once where that is possible, because the slot makes Postgres keep WAL. Otherwise, the next
    // start does it.
    const undo = async () => {
      const cleanup = { ...context, signal: signal.aborted ? AbortSignal.timeout(undoLimitMs) : signal }
      await removeGeneration(cleanup, announced)
      await writeAbandoned(cleanup, announced)
    }
    await undo().catch(cause => log.warn('a load that failed could not be undone yet', { cause: String(cause) }))
    throw error
  }
}

/**
 * The publication must exist before the slot, because Postgres looks up a slot's changes in the
 * publication as it was when they were made.
 */
async function publish(
  context: ProducerContext,
  generation: Generation,
  captured: readonly CapturedTable[],
): Promise<void> {
  const { config, url, progress, signal } = context
  const tables = captured.map(({ table, kind }) => ({ schema: table.schema, name: table.name, kind }))
  const name = publicationName(config.name, generation.number)
  const comment = ownerMark(config.name, generation)
  const onBlocked = reportBlocked(context, 'making the publication')
  const create = (client: Client) =>
    watchBlocked({ url, client, onBlocked }, () => createPublication(client, { name, tables, comment }))
  await progress.pulse.during(withClient(url, create, signal))
}

function describeTable(pipeline: string, number: number, { table, partitions, group }: CapturedTable): GenerationTable {
  const topic = topicName(pipeline, number, table.schema, table.name)
  return { schema: table.schema, table: table.name, topic, partitions, group }
}
