// contract/owner: the mark by which what a generation holds in Postgres and ClickHouse is told from everything else.
// A comment there, since databases and publications have no other place for it.

import type { Generation } from './generation.ts'

/** What a command does to a database that nobody may fold into meanwhile, nor after it was cut off. */
export type Being = 'dropped' | 'rebuilt'

/** Whose something is. */
export interface Owner {
  readonly pipeline: string
  readonly number: number
  /** As in `Generation`, each of the following. */
  readonly id: string
  readonly kafkaCluster: string
  readonly source: string
  /** Absent while no command is at it. */
  readonly being?: Being
}

const form =
  /^(?:being (dropped|rebuilt), )?made by millrace: pipeline (\S+), generation (\d+), id (\S+), Kafka cluster (\S+), source (.+)$/s

/** Comment on a generation's publication and on its database in ClickHouse. */
export function ownerMark(
  pipeline: string,
  { number, id, kafkaCluster, source }: Pick<Generation, 'number' | 'id' | 'kafkaCluster' | 'source'>,
  being?: Being,
): string {
  const state = being === undefined ? '' : `being ${being}, `
  return `${state}made by millrace: pipeline ${pipeline}, generation ${number}, id ${id}, Kafka cluster ${kafkaCluster}, source ${source}`
}

/** Undefined for every other comment, and for none. */
export function readOwner(comment: string | null): Owner | undefined {
  const [, being, pipeline, number, id, kafkaCluster, source] = form.exec(comment ?? '') ?? []
  if (source === undefined) return undefined
  const owner = { pipeline: pipeline!, number: Number(number), id: id!, kafkaCluster: kafkaCluster!, source }
  return being === undefined ? owner : { ...owner, being: being as Being }
}
