// consumer/warehouse/own-databases: checks that generations in Kafka and databases in ClickHouse
// belong to one pipeline.

import { type GenerationDatabase, isOfPipeline } from '../../clickhouse/generation-databases.ts'
import type { Generation } from '../../contract/generation.ts'
import { generationsTopic } from '../../contract/generation.ts'
import { ownerMark } from '../../contract/owner.ts'
import { MillraceError } from '../../runtime/errors.ts'

export interface DatabaseOwners {
  readonly pipeline: string
  /** Id of the cluster, as the brokers report it. */
  readonly kafkaCluster: string
  readonly generations: readonly Generation[]
  /** All databases whose name is that of a generation. */
  readonly databases: readonly GenerationDatabase[]
}

/**
 * Each database that this pipeline made from this Kafka has a record in the topic of generations,
 * because records are never removed. Without the record, the topic was lost. The next load would
 * then begin with number 1 again, in an existing database.
 * @throws {MillraceError} GENERATION_UNKNOWN; GENERATION_CHANGED when the records are of another
 *   Kafka cluster
 */
export function requireOwnDatabases({ pipeline, kafkaCluster, generations, databases }: DatabaseOwners): void {
  const where = `topic ${generationsTopic(pipeline)}, Kafka cluster ${kafkaCluster}`
  const moved = generations.find(each => each.kafkaCluster !== kafkaCluster && ['loading', 'live'].includes(each.state))
  if (moved !== undefined) {
    throw new MillraceError('GENERATION_CHANGED', {
      what: `the topics of generation ${moved.number} were made in the Kafka cluster ${moved.kafkaCluster}; offsets of one cluster mean nothing in another`,
      where,
      next: 'correct kafka.brokers; if this cluster has replaced the other for good, load everything again: millrace producer --new-generation',
    })
  }
  const ids = new Map(generations.map(({ number, id }) => [number, id]))
  const unknown = databases.filter(
    database => isOfPipeline(database, { pipeline, kafkaCluster }) && ids.get(database.number) !== database.owner?.id,
  )
  if (unknown.length === 0) return
  const found = unknown.map(({ name, owner }) => `database ${name}, ${ownerMark(pipeline, owner!)}`)
  throw new MillraceError('GENERATION_UNKNOWN', {
    what: `the topic of generations has no record of generations that were loaded before:\n    ${found.join('\n    ')}`,
    where,
    next: `restore the topic, or run millrace reset topics, everything is then loaded again, into another database; drop only databases that nobody needs: ${unknown.map(({ name }) => `DROP DATABASE ${name}`).join('; ')}`,
  })
}

/**
 * A warning while this Kafka has no generation, and a database was loaded from another Kafka
 * cluster.
 */
export function otherClusterHint({
  pipeline,
  kafkaCluster,
  generations,
  databases,
}: DatabaseOwners): string | undefined {
  const other = databases.find(({ owner }) => owner?.pipeline === pipeline && owner.kafkaCluster !== kafkaCluster)
  if (other === undefined || generations.length > 0) return undefined
  return `this Kafka cluster, ${kafkaCluster}, has no generation of the pipeline, and database ${other.name} was loaded from the cluster ${other.owner!.kafkaCluster}; is kafka.brokers right?`
}
