// cli/reset/pipeline: finds and deletes a pipeline's objects in Postgres, Kafka and ClickHouse.

import {
  dropDatabase,
  findDatabases,
  type GenerationDatabase,
  isOfPipeline,
  markDatabase,
} from '../../clickhouse/generation-databases.ts'
import { dropStableViews, findStableViews, type StableView } from '../../clickhouse/stable-views.ts'
import { consumerGroup, type Generation, publicationName } from '../../contract/generation.ts'
import { generationPrefix } from '../../contract/names.ts'
import type { Owner } from '../../contract/owner.ts'
import { deleteTopics, listTopics } from '../../kafka/client/admin.ts'
import { newestGeneration } from '../../kafka/generations-topic.ts'
import { deleteGroup, requireNoMembers } from '../../kafka/group/coordinator.ts'
import { withClient } from '../../postgres/client/client.ts'
import { identify } from '../../postgres/replication/history.ts'
import { findPublications } from '../../postgres/replication/publication.ts'
import { slotsOfServer } from '../../postgres/replication/slot.ts'
import { dropGeneration } from '../../producer/generation/cleanup.ts'
import { adoptRemains, findRemains, isOurs } from '../../producer/generation/remains.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Steps } from '../../runtime/steps.ts'
import { knownGenerations, type PipelineConnections } from '../connections.ts'

/** The generations to delete, read before anything is deleted. */
export interface Retired {
  /** All generations that Kafka has a record of. */
  readonly known: readonly Generation[]
  /** The generations of which anything is left. */
  readonly generations: readonly Generation[]
  readonly identity: string
}

/**
 * Every generation that still exists, and those that an interrupted call left half deleted.
 * @throws {MillraceError} GENERATION_CHANGED when one belongs to another source
 */
export async function findRetired({ config, kafka, url, ...connections }: PipelineConnections): Promise<Retired> {
  const { source: identity } = await identify(url)
  const known = await knownGenerations({ ...connections, config, kafka })
  refuseOtherSource(known, identity)
  const topics = await listTopics(kafka, `${config.name}.`)
  const inPostgres = await withClient(url, async client => [
    ...(await slotsOfServer(client, `${config.name}_`)),
    ...(await findPublications(client, `${config.name}_`)),
  ])
  const names = new Set(inPostgres.map(({ name }) => name))
  const isThere = ({ number, slot, publication, state }: Generation) =>
    !['abandoned', 'dropped'].includes(state) ||
    names.has(slot) ||
    (publication === undefined && names.has(publicationName(config.name, number))) ||
    topics.some(topic => topic.startsWith(generationPrefix(config.name, number)))
  return { known, generations: known.filter(isThere), identity }
}

/**
 * With a wrong address of Kafka, the source of a pipeline in another Kafka would be emptied.
 * @throws {MillraceError} GENERATION_UNKNOWN when a slot or publication of this database has this
 *   pipeline's name and no record in this Kafka
 */
export async function refuseOtherReaders(
  connections: PipelineConnections,
  { known, identity }: Retired,
): Promise<void> {
  const { publications, slots } = await findRemains(connections, { generations: known, identity })
  const ours = new Set(publications.filter(({ owner }) => isOurs(owner, connections, identity)).map(({ name }) => name))
  const here = slots.filter(({ database }) => identity.endsWith(`/${database}`))
  const foreign = new Set([...here, ...publications].map(({ name }) => name).filter(name => !ours.has(name)))
  if (foreign.size === 0) return
  throw new MillraceError('GENERATION_UNKNOWN', {
    what: `nothing was destroyed, because this database has slots or publications of generations without a record in this Kafka: ${[...foreign].join(', ')}`,
    where: `source ${identity}, Kafka cluster ${connections.kafka.clusterId}`,
    next: 'correct kafka.brokers if the pipeline belongs to another Kafka; if nobody needs them, drop them: a start of the producer prints the statements',
  })
}

/**
 * Drops every generation's slot, publication, topics and consumer group. The topic of generations
 * stays, so the next generation gets a new number and a new database. The old databases serve until
 * then. Objects of a lost topic of generations are deleted too, if they have this pipeline's mark.
 * A deletion that an earlier call left unfinished is completed.
 * @throws {MillraceError} PRODUCER_RUNNING, GROUP_ACTIVE
 */
export async function* retireGenerations(connections: PipelineConnections, retired: Retired): Steps {
  const { config, kafka } = connections
  const { known, generations, identity } = retired
  const adopted = await adoptRemains(connections, { generations: known, identity })
  if (adopted.length > 0) yield 'what has no record is recorded as dropped'
  for (const generation of [...generations, ...adopted]) yield* dropGeneration(connections, generation)
  const isOfGeneration = new RegExp(`^${config.name}\\.\\d+\\.`)
  const left = (await listTopics(kafka, `${config.name}.`)).filter(topic => isOfGeneration.test(topic))
  await deleteTopics(kafka, left)
  if (left.length > 0) yield 'topics without a record are gone'
}

/** Otherwise the slot would stay on the other server and retain its WAL for ever. */
function refuseOtherSource(generations: readonly Generation[], identity: string): void {
  const other = generations.find(
    ({ state, source }) => ['announced', 'loading', 'live'].includes(state) && source !== identity,
  )
  if (other === undefined) return
  throw new MillraceError('GENERATION_CHANGED', {
    what: `generation ${other.number} was loaded from ${other.source}, and this database is ${identity}, so nothing was destroyed`,
    where: `slot ${other.slot}`,
    next: `correct source.url; if that database is gone for good, load this one (millrace producer --new-generation), and then run millrace generations drop ${other.number}`,
  })
}

/** The databases of this pipeline, oldest first, and the stable views of them. */
export interface Warehouses {
  readonly databases: readonly (GenerationDatabase & { readonly owner: Owner })[]
  readonly views: readonly StableView[]
}

export async function findWarehouses({ config, kafka, clickhouse, log }: PipelineConnections): Promise<Warehouses> {
  const publisher = { pipeline: config.name, kafkaCluster: kafka.clusterId }
  const databases: Warehouses['databases'][number][] = []
  for (const { owner, ...database } of await findDatabases(clickhouse, config.name)) {
    if (owner !== undefined && isOfPipeline({ ...database, owner }, publisher)) databases.push({ ...database, owner })
    else log.warn('a database of this name stays: this pipeline did not create it', { database: database.name })
  }
  return { databases, views: await findStableViews(clickhouse, publisher) }
}

/**
 * The next consumer reads the topics of the live generation from their beginning, so they must
 * still contain everything.
 * @throws {MillraceError} OFFSETS_MISSING when they do not; GROUP_ACTIVE while a consumer reads
 *   them
 */
export async function findReplayed(connections: PipelineConnections): Promise<Generation | undefined> {
  const live = newestGeneration(await knownGenerations(connections))
  if (live === undefined) return undefined
  await requireWholeTopics(connections, live)
  await requireNoMembers(connections.kafka, consumerGroup(connections.config.name, live.number))
  return live
}

/**
 * Drops the databases and views. Until a database is gone, its comment makes consumers refuse it.
 * Without their offsets they would insert everything into it a second time.
 * @throws {MillraceError} GROUP_ACTIVE
 */
export async function* dropWarehouses(
  { config, kafka, clickhouse }: PipelineConnections,
  { databases, views }: Warehouses,
  replayed: Generation | undefined,
): Steps {
  for (const database of databases) {
    await markDatabase(clickhouse, database, 'dropped')
    yield `database ${database.name} is marked as being dropped`
  }
  if (replayed !== undefined) {
    await deleteGroup(kafka, consumerGroup(config.name, replayed.number))
    yield `the consumer group of generation ${replayed.number} is gone`
  }
  await dropStableViews(clickhouse, views)
  yield 'the stable views are gone'
  for (const { name } of databases) {
    await dropDatabase(clickhouse, name)
    yield `database ${name} is gone`
  }
}

async function requireWholeTopics({ fetcher }: PipelineConnections, { tables }: Generation): Promise<void> {
  for (const { topic } of tables) {
    const starts = await fetcher.startOffsets(topic)
    const partition = starts.findIndex(start => start > 0)
    if (partition === -1) continue
    throw new MillraceError('OFFSETS_MISSING', {
      what: `the topic begins at offset ${starts[partition]}, so the tables cannot be built again from it`,
      where: `topic ${topic}, partition ${partition}`,
      next: 'load everything again instead: millrace reset topics, or millrace producer --new-generation',
    })
  }
}
