// consumer/others: how far the partitions are that other members fold.
// May know: contract/generation, kafka/group, consumer/tenure.

import type { Generation } from '../contract/generation.ts'
import type { Membership } from '../kafka/group.ts'
import { partitionKey } from './partition-key.ts'

/** Commits are asked for at most so often: they only hold back the watermark, not the data. */
const askEveryMs = 250

export class Others {
  readonly #generation: Generation
  readonly #membership: Membership
  #known = new Map<string, number>()
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(generation: Generation, membership: Membership) {
    this.#generation = generation
    this.#membership = membership
  }

  /** First offset that is not done, by partition key, of all partitions but the tenure's own. */
  async offsets(tenure: { readonly positions: ReadonlyMap<string, unknown> }): Promise<ReadonlyMap<string, number>> {
    if (performance.now() - this.#askedAt < askEveryMs) return this.#known
    const all = this.#generation.tables.flatMap(({ topic, partitions }) =>
      Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
    )
    const theirs = all.filter(({ topic, partition }) => !tenure.positions.has(partitionKey(topic, partition)))
    const committed = theirs.length === 0 ? [] : await this.#membership.committed(theirs)
    this.#known = new Map(
      committed.map(({ topic, partition, offset }) => [partitionKey(topic, partition), Math.max(0, offset)]),
    )
    this.#askedAt = performance.now()
    return this.#known
  }
}
