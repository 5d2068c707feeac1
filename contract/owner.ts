// contract/owner: the owner mark that identifies a generation's publication in Postgres and its
// database in ClickHouse. It is a comment, since publications and databases have no other place for
// it.

import type { Generation } from './generation.ts'

/**
 * What a command does to a database. Until it has finished, also after an interruption, no consumer
 * may insert into it.
 */
export type Being = 'dropped' | 'rebuilt'

/** The generation that owns a publication or a database. */
export interface Owner {
  readonly pipeline: string
  readonly number: number
  /** The next fields are as in `Generation`. */
  readonly id: string
  readonly kafkaCluster: string
  readonly source: string
  /** Absent while no command changes the database. */
  readonly being?: Being
}

const form =
  /^(?:being (dropped|rebuilt), )?made by millrace: pipeline (\S+), generation (\d+), id (\S+), Kafka cluster (\S+), source (.+)$/s

/** The comment on a generation's publication and on its database in ClickHouse. */
export function ownerMark(
  pipeline: string,
  { number, id, kafkaCluster, source }: Pick<Generation, 'number' | 'id' | 'kafkaCluster' | 'source'>,
  being?: Being,
): string {
  const state = being === undefined ? '' : `being ${being}, `
  return `${state}made by millrace: pipeline ${pipeline}, generation ${number}, id ${id}, Kafka cluster ${kafkaCluster}, source ${source}`
}

/** The owner in a comment; undefined for other comments. */
export function readOwner(comment: string | null): Owner | undefined {
  const [, being, pipeline, number, id, kafkaCluster, source] = form.exec(comment ?? '') ?? []
  if (source === undefined) return undefined
  const owner = { pipeline: pipeline!, number: Number(number), id: id!, kafkaCluster: kafkaCluster!, source }
  return being === undefined ? owner : { ...owner, being: being as Being }
}
