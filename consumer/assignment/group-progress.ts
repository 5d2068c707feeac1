// consumer/assignment/group-progress: how far the members of the group have come, by their commits.

import type { Generation } from '../../contract/generation.ts'
import type { Membership } from '../../kafka/group/group.ts'
import { type Progress, readMetadata } from '../records/insert-intent.ts'
import { partitionKey } from '../records/partition-key.ts'

/** Commits are asked for at most so often: they only hold back the watermark, not the data. */
const askEveryMs = 250
/** So many partitions take their time to be told. */
const partitionsPerMs = 8

interface Group {
  readonly generation: Generation
  readonly membership: Pick<Membership, 'committed'>
}

/** Of all partitions, owned or not, in the order of the generation. */
export async function readProgress({ generation, membership }: Group): Promise<Progress[]> {
  const all = generation.tables.flatMap(({ topic, partitions }) =>
    Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
  )
  const committed = await membership.committed(all)
  return committed.map(({ topic, partition, offset, metadata }) => ({
    topic,
    partition,
    offset: Math.max(offset, 0),
    ...readMetadata(metadata, `consumer group, topic ${topic}, partition ${partition}`),
  }))
}

/** The partitions that other members fold. */
export class Others {
  readonly #group: Group
  readonly #partitions: number
  #known: ReadonlyMap<string, number> = new Map()
  #askedAt = Number.NEGATIVE_INFINITY
  #assignment = -1

  constructor(group: Group) {
    this.#group = group
    this.#partitions = group.generation.tables.reduce((sum, { partitions }) => sum + partitions, 0)
  }

  /**
   * First offset that is not done, by partition key. What a member has not committed in this assignment is left out: it may yet find that
   * ClickHouse holds less.
   */
  async offsets(assigned: { assignment: number; owned: { size: number } }): Promise<ReadonlyMap<string, number>> {
    const { assignment, owned } = assigned
    if (owned.size === this.#partitions) return new Map()
    const isDue = performance.now() - this.#askedAt > Math.max(askEveryMs, this.#partitions / partitionsPerMs)
    if (this.#assignment === assignment && !isDue) return this.#known
    const progress = await readProgress(this.#group)
    const known = progress.filter(each => each.assignment === assignment)
    this.#known = new Map(known.map(({ topic, partition, offset }) => [partitionKey(topic, partition), offset]))
    this.#askedAt = performance.now()
    this.#assignment = assignment
    return this.#known
  }
}
