// cli/reset/pipeline: what a pipeline holds in Kafka and in ClickHouse, removed.

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

/** What is to be destroyed, as it was found and asked for before any of it was. */
export interface Retired {
  /** All that Kafka knows of. */
  readonly known: readonly Generation[]
  /** Those of which anything is there. */
  readonly generations: readonly Generation[]
  readonly identity: string
}

/**
 * Every generation that is not gone, and those that a call before may have left half removed.
 * @throws {MillraceError} GENERATION_CHANGED when one is of another source
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
 * With a wrong address of Kafka, the rows would be taken from under a pipeline that another Kafka counts.
 * @throws {MillraceError} GENERATION_UNKNOWN when something reads this database under this pipeline's names and has no record here
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
    what: `nothing was destroyed, since this database has slots or publications of generations that this Kafka has no record of: ${[...foreign].join(', ')}`,
    where: `source ${identity}, Kafka cluster ${connections.kafka.clusterId}`,
    next: 'correct kafka.brokers if the pipeline belongs to another Kafka; if nobody needs them any more, drop them: the producer names the statements when it is started',
  })
}

/**
 * Drops every generation's slot, publication, topics and consumer group. The topic that counts them stays, so that the next one gets
 * a number, and so a database, of its own; those of before go on serving until then.
 * What a topic of generations that was lost had recorded goes too, as far as it is provably ours; what a call before had left half removed is
 * finished.
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

/** Its slot would stay there, and hold the WAL of that server for ever. */
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

/** The databases of this pipeline, oldest first, and the views that show them. */
export interface Warehouses {
  readonly databases: readonly (GenerationDatabase & { readonly owner: Owner })[]
  readonly views: readonly StableView[]
}

export async function findWarehouses({ config, kafka, clickhouse, log }: PipelineConnections): Promise<Warehouses> {
  const publisher = { pipeline: config.name, kafkaCluster: kafka.clusterId }
  const databases: Warehouses['databases'][number][] = []
  for (const { owner, ...database } of await findDatabases(clickhouse, config.name)) {
    if (owner !== undefined && isOfPipeline({ ...database, owner }, publisher)) databases.push({ ...database, owner })
    else log.warn('a database of the name is left alone: this pipeline did not make it', { database: database.name })
  }
  return { databases, views: await findStableViews(clickhouse, publisher) }
}

/**
 * The live generation is folded from its topics' beginning when a consumer starts, so they must reach back so far.
 * @throws {MillraceError} OFFSETS_MISSING when they do not; GROUP_ACTIVE while somebody folds it
 */
export async function findRefolded(connections: PipelineConnections): Promise<Generation | undefined> {
  const live = newestGeneration(await knownGenerations(connections))
  if (live === undefined) return undefined
  await requireWholeTopics(connections, live)
  await requireNoMembers(connections.kafka, consumerGroup(connections.config.name, live.number))
  return live
}

/**
 * Drops the databases and views. Until a database is gone, its comment keeps consumers out: without their offsets, they would fold everything
 * into it a second time.
 * @throws {MillraceError} GROUP_ACTIVE
 */
export async function* dropWarehouses(
  { config, kafka, clickhouse }: PipelineConnections,
  { databases, views }: Warehouses,
  refolded: Generation | undefined,
): Steps {
  for (const database of databases) {
    await markDatabase(clickhouse, database, 'dropped')
    yield `database ${database.name} is marked as being dropped`
  }
  if (refolded !== undefined) {
    await deleteGroup(kafka, consumerGroup(config.name, refolded.number))
    yield `the consumer group of generation ${refolded.number} is gone`
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
      what: `the topic begins at offset ${starts[partition]}, so that not everything could be built from it again`,
      where: `topic ${topic}, partition ${partition}`,
      next: 'load everything anew instead: millrace reset topics, or millrace producer --new-generation',
    })
  }
}
