// contract/owner: the mark by which what a generation holds in Postgres and ClickHouse is told from everything else.
// May know: contract/generation. A comment there, since databases and publications have no other place for it.

import type { Generation } from './generation.ts'

/** Whose something is. */
export interface Owner {
  readonly pipeline: string
  readonly number: number
  /** As in `Generation`, each of the following. */
  readonly id: string
  readonly kafkaCluster: string
  readonly source: string
}

const form = /^made by millrace: pipeline (\S+), generation (\d+), id (\S+), Kafka cluster (\S+), source (.+)$/s

/** Comment on a generation's publication and on its database in ClickHouse. */
export function ownerMark(pipeline: string, generation: Pick<Generation, 'number' | 'id' | 'kafkaCluster' | 'source'>) {
  const { number, id, kafkaCluster, source } = generation
  return `made by millrace: pipeline ${pipeline}, generation ${number}, id ${id}, Kafka cluster ${kafkaCluster}, source ${source}`
}

/** Undefined for every other comment, and for none. */
export function readOwner(comment: string | null): Owner | undefined {
  const [, pipeline, number, id, kafkaCluster, source] = form.exec(comment ?? '') ?? []
  if (source === undefined) return undefined
  return { pipeline: pipeline!, number: Number(number), id: id!, kafkaCluster: kafkaCluster!, source }
}
