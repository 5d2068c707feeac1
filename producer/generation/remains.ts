// producer/generation/remains: slots, publications, topics and groups of unknown generations of
// this name.

import { randomUUID } from 'node:crypto'
import {
  consumerGroup,
  type Generation,
  generationFormat,
  numberInName,
  publicationName,
} from '../../contract/generation.ts'
import { type Owner, ownerMark, readOwner } from '../../contract/owner.ts'
import { listTopics } from '../../kafka/client/admin.ts'
import { writeGeneration } from '../../kafka/generations-topic.ts'
import { groupMembers } from '../../kafka/group/coordinator.ts'
import { withClient } from '../../postgres/client/client.ts'
import { quoteName, quoteString } from '../../postgres/client/quote.ts'
import { findPublications } from '../../postgres/replication/publication.ts'
import { slotsOfServer } from '../../postgres/replication/slot.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { ProducerContext } from '../context.ts'
import { ensureGenerationsTopic } from '../write/topics.ts'

export interface Remains {
  /** `database` is that of the source, or another one of its server. */
  readonly slots: readonly { readonly name: string; readonly number: number; readonly database: string }[]
  readonly publications: readonly {
    readonly name: string
    readonly number: number
    readonly owner: Owner | undefined
  }[]
  readonly topics: readonly { readonly name: string; readonly number: number }[]
  /** Numbers of the generations whose consumer group exists. */
  readonly groups: readonly number[]
}

type RemainsContext = Pick<ProducerContext, 'config' | 'url' | 'kafka'>

export interface Knowledge {
  /** All generations that this Kafka cluster has records of. */
  readonly generations: readonly Generation[]
  /** The database as it is now, as in `Generation.source`. */
  readonly identity: string
}

/**
 * Finds remains of generations of any number: they all mean that this is another Kafka cluster, or
 * that its generations topic is lost.
 */
export async function findRemains({ config, url, kafka }: RemainsContext, knowledge: Knowledge): Promise<Remains> {
  const { generations, identity } = knowledge
  const known = new Map(generations.map(generation => [generation.number, generation]))
  const [system] = identity.split('/')
  const inPostgres = await withClient(url, async client => ({
    slots: await slotsOfServer(client, `${config.name}_`),
    publications: await findPublications(client, `${config.name}_`),
  }))
  const slots = inPostgres.slots
    .map(({ name, database }) => ({ name, number: numberInName(config.name, name), database: database ?? '' }))
    .filter(isOfGeneration)
    .filter(({ name, number, database }) => {
      const generation = known.get(number)
      return generation?.source !== `${system}/${database}` || generation.slot !== name
    })
  const publications = inPostgres.publications
    .map(({ name, comment }) => ({ name, number: numberInName(config.name, name), owner: readOwner(comment) }))
    .filter(isOfGeneration)
    .filter(({ name, number }) => name === publicationName(config.name, number))
    .filter(({ number, owner }) => owner === undefined || owner.id !== known.get(number)?.id)
  const topics = (await listTopics(kafka, `${config.name}.`))
    .map(name => ({ name, number: numberInTopic(config.name, name) }))
    .filter(isOfGeneration)
    .filter(({ number }) => !known.has(number))
  const numbers = new Set([...slots, ...publications, ...topics].map(({ number }) => number))
  const next = Math.max(0, ...known.keys()) + 1
  const groups = await findGroups(
    { config, kafka },
    [...numbers.add(next)].filter(number => !known.has(number)),
  )
  return { slots, publications, topics, groups }
}

function numberInTopic(pipeline: string, topic: string): number | undefined {
  const [, digits] = /^\.([1-9]\d{0,8})\./.exec(topic.slice(pipeline.length)) ?? []
  return digits === undefined ? undefined : Number(digits)
}

function isOfGeneration<T extends { readonly number: number | undefined }>(found: T): found is T & { number: number } {
  return found.number !== undefined
}

/** A group that this user may not describe is not found. The consumer reports it. */
async function findGroups(
  { config, kafka }: Omit<RemainsContext, 'url'>,
  numbers: readonly number[],
): Promise<number[]> {
  const found: number[] = []
  for (const number of numbers) {
    const members = await groupMembers(kafka, consumerGroup(config.name, number)).catch(error => {
      if (error instanceof MillraceError && error.code === 'KAFKA_DENIED') return undefined
      throw error
    })
    if (members !== undefined) found.push(number)
  }
  return found.sort((a, b) => a - b)
}

/**
 * Whether `millrace reset topics` may remove it: its mark names this pipeline, this Kafka cluster
 * and this database.
 */
export function isOurs(
  owner: Owner | undefined,
  { config, kafka }: Pick<RemainsContext, 'config' | 'kafka'>,
  identity: string,
): boolean {
  return owner?.pipeline === config.name && owner.kafkaCluster === kafka.clusterId && owner.source === identity
}

/** @throws {MillraceError} GENERATION_UNKNOWN with all remains, when there are any */
export async function refuseRemains(context: RemainsContext, knowledge: Knowledge): Promise<void> {
  const { slots, publications, topics, groups } = await findRemains(context, knowledge)
  const { config, kafka } = context
  const numbers = [...new Set(topics.map(({ number }) => number))]
  const found = [
    ...slots.map(({ name, database }) => `replication slot ${name} of the database ${database}`),
    ...publications.map(
      ({ name, owner }) =>
        `publication ${name}, ${owner ? ownerMark(owner.pipeline, owner) : 'which has no owner mark'}`,
    ),
    ...numbers.map(number => {
      const names = topics.filter(topic => topic.number === number).map(({ name }) => name)
      return `${names.length} topics such as ${names[0]}`
    }),
    ...groups.map(number => `consumer group ${consumerGroup(config.name, number)}`),
  ]
  if (found.length === 0) return
  const ours = new Set(
    publications.filter(({ owner }) => isOurs(owner, context, knowledge.identity)).map(({ name }) => name),
  )
  const foreign = [
    ...slots
      .filter(({ name }) => !ours.has(name))
      .map(({ name }) => `SELECT pg_drop_replication_slot(${quoteString(name)});`),
    ...publications.filter(({ name }) => !ours.has(name)).map(({ name }) => `DROP PUBLICATION ${quoteName(name)};`),
  ]
  const remedies = [
    ...(ours.size + topics.length + groups.length > 0 ? ['millrace reset topics'] : []),
    ...(foreign.length > 0 ? [`in Postgres: ${foreign.join(' ')}`] : []),
  ]
  throw new MillraceError('GENERATION_UNKNOWN', {
    what: `there are slots, publications, topics or groups of generations that this Kafka cluster has no record of, and they may be in use:\n    ${found.join('\n    ')}`,
    where: `pipeline ${config.name}, source ${knowledge.identity}, Kafka cluster ${kafka.clusterId}`,
    next: `correct kafka.brokers if this pipeline belongs to another Kafka cluster, or give it another name if the name is in use; remove them only if they are not needed: ${remedies.join(', and ')}`,
  })
}

/**
 * Records the remains that are ours, or are in this Kafka cluster, as dropped generations. They can
 * then be removed, and their numbers are not used again.
 * @returns the records
 */
export async function adoptRemains(context: RemainsContext, knowledge: Knowledge): Promise<Generation[]> {
  const { config, kafka } = context
  const { publications, topics, groups } = await findRemains(context, knowledge)
  const owners = new Map(
    publications
      .filter(({ owner }) => isOurs(owner, context, knowledge.identity))
      .map(({ number, owner }) => [number, owner!]),
  )
  const numbers = new Set([...owners.keys(), ...topics.map(({ number }) => number), ...groups])
  if (numbers.size > 0) await ensureGenerationsTopic(kafka, config)
  const adopted: Generation[] = []
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const owner = owners.get(number)
    const generation: Generation = {
      ...{ format: generationFormat, number, id: owner?.id ?? randomUUID(), state: 'dropped' },
      // Without a source in its mark, nothing in Postgres counts as its own.
      ...{ slot: publicationName(config.name, number), source: owner?.source ?? '', kafkaCluster: kafka.clusterId },
      ...{ timeline: 0, maxRecordBytes: 0, refusalRules: 0, consistentPoint: 0, tables: [] },
    }
    await writeGeneration(kafka, config.name, generation)
    adopted.push(generation)
  }
  return adopted
}
