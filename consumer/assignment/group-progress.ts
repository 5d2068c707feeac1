// consumer/assignment/group-progress: the committed progress of all members of the group.

import type { Generation } from '../../contract/generation.ts'
import type { Membership } from '../../kafka/group/group.ts'
import { type Progress, readMetadata } from '../records/progress.ts'
import { partitionKey } from '../records/slice.ts'

/** Pause between two requests for commits. Only the watermark waits for them, not the rows. */
const askEveryMs = 250
/** With many partitions, the pause grows with the size of the answer. */
const partitionsPerMs = 8

interface Group {
  readonly generation: Generation
  readonly membership: Pick<Membership, 'committed'>
}

/** The progress of all partitions, owned or not, in the order of the generation's tables. */
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

/** The progress of the partitions that other members own. */
export class GroupProgress {
  readonly #group: Group
  readonly #partitions: number
  #known: ReadonlyMap<string, number> = new Map()
  #askedAt = Number.NEGATIVE_INFINITY
  #epoch = ''

  constructor(group: Group) {
    this.#group = group
    this.#partitions = group.generation.tables.reduce((sum, { partitions }) => sum + partitions, 0)
  }

  /**
   * By partition key, the first offset that is not in ClickHouse yet. A partition without a commit
   * in this epoch is left out, because its owner may still find that ClickHouse has less.
   */
  async offsets(assigned: { epoch: string; owned: { size: number } }): Promise<ReadonlyMap<string, number>> {
    const { epoch, owned } = assigned
    if (owned.size === this.#partitions) return new Map()
    const isDue = performance.now() - this.#askedAt > Math.max(askEveryMs, this.#partitions / partitionsPerMs)
    if (this.#epoch === epoch && !isDue) return this.#known
    const progress = await readProgress(this.#group)
    const known = progress.filter(each => each.epoch === epoch)
    this.#known = new Map(known.map(({ topic, partition, offset }) => [partitionKey(topic, partition), offset]))
    this.#askedAt = performance.now()
    this.#epoch = epoch
    return this.#known
  }
}
