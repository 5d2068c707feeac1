// consumer/warehouse/belonging: whether the records of generations in Kafka and the databases in ClickHouse are of one pipeline's making.

import { type GenerationDatabase, isOfPipeline } from '../../clickhouse/generation-databases.ts'
import type { Generation } from '../../contract/generation.ts'
import { generationsTopic } from '../../contract/generation.ts'
import { ownerMark } from '../../contract/owner.ts'
import { MillraceError } from '../../runtime/errors.ts'

export interface Belonging {
  readonly pipeline: string
  /** As the brokers say. */
  readonly kafkaCluster: string
  readonly generations: readonly Generation[]
  /** Whatever has the name of a generation's. */
  readonly databases: readonly GenerationDatabase[]
}

/**
 * Every database that says that this pipeline made it from this Kafka has a record there, since records are never taken back. Otherwise the topic
 * of generations was lost, and the next load would count from 1 again, into what is there.
 * @throws {MillraceError} GENERATION_UNKNOWN; GENERATION_CHANGED when the records are of another Kafka cluster
 */
export function checkBelonging({ pipeline, kafkaCluster, generations, databases }: Belonging): void {
  const where = `topic ${generationsTopic(pipeline)}, Kafka cluster ${kafkaCluster}`
  const moved = generations.find(each => each.kafkaCluster !== kafkaCluster && ['loading', 'live'].includes(each.state))
  if (moved !== undefined) {
    throw new MillraceError('GENERATION_CHANGED', {
      what: `the topics of generation ${moved.number} were made in the Kafka cluster ${moved.kafkaCluster}, and offsets of another mean nothing here`,
      where,
      next: 'correct kafka.brokers; if this cluster has taken the place of the other for good, load everything anew: millrace producer --new-generation',
    })
  }
  const ids = new Map(generations.map(({ number, id }) => [number, id]))
  const unknown = databases.filter(
    database => isOfPipeline(database, { pipeline, kafkaCluster }) && ids.get(database.number) !== database.owner?.id,
  )
  if (unknown.length === 0) return
  const found = unknown.map(({ name, owner }) => `database ${name}, ${ownerMark(pipeline, owner!)}`)
  throw new MillraceError('GENERATION_UNKNOWN', {
    what: `the topic of generations has no record of what was folded from it before:\n    ${found.join('\n    ')}`,
    where,
    next: `restore the topic, or run millrace reset topics, after which everything is loaded anew into another database; only what nobody needs may be removed: ${unknown.map(({ name }) => `DROP DATABASE ${name}`).join('; ')}`,
  })
}

/** While this Kafka has no generation yet, databases that this pipeline has made from another one hint at a wrong address. */
export function elsewhere({ pipeline, kafkaCluster, generations, databases }: Belonging): string | undefined {
  const other = databases.find(({ owner }) => owner?.pipeline === pipeline && owner.kafkaCluster !== kafkaCluster)
  if (other === undefined || generations.length > 0) return undefined
  return `this Kafka cluster, ${kafkaCluster}, has no generation of the pipeline, and database ${other.name} was folded from the cluster ${other.owner!.kafkaCluster}; is kafka.brokers right?`
}
