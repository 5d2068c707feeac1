// consumer/assignment/announce: what is done and what comes next, committed before it is begun.

import type { OffsetCommit } from '../../kafka/group/coordinator.ts'
import { type Batch, mostPartitions } from '../records/batch.ts'
import { partitionKey } from '../records/partition-key.ts'
import { type AssignmentState, type ConsumerContext, commitOf, type Owned } from './assignment.ts'

/**
 * For each partition of the batches where it starts and how far it will go, and for every other how far it is, if that is news. A commit is
 * atomic and takes a limited number of partitions; those of a batch stand in the same one.
 */
export async function announce(
  { membership }: Pick<ConsumerContext, 'membership'>,
  assigned: AssignmentState,
  batches: readonly Batch[],
  signal?: AbortSignal,
): Promise<void> {
  const intents = batches.map(batch => intentsOf(assigned, batch))
  const announced = new Set(intents.flat().map(({ owned }) => owned))
  const news = [...assigned.owned.values()].filter(owned => owned.isNews && !announced.has(owned))
  const done = news.map(owned => [{ owned, commit: commitOf(owned.progress, assigned.assignment) }])
  for (const part of packed([...intents, ...done])) {
    await membership.commit(
      part.map(({ commit }) => commit),
      signal,
    )
    for (const { owned } of part) owned.isNews = false
  }
}

interface Pending {
  readonly owned: Owned
  readonly commit: OffsetCommit
}

function intentsOf({ owned: all, assignment, server }: AssignmentState, { name, slices }: Batch): Pending[] {
  return slices.map(({ topic, partition, end }) => {
    const owned = all.get(partitionKey(topic, partition))!
    return { owned, commit: commitOf(owned.progress, assignment, { end, batch: name, server }) }
  })
}

function packed(lists: readonly Pending[][]): Pending[][] {
  const packs: Pending[][] = []
  for (const list of lists) {
    const last = packs.at(-1)
    if (last === undefined || last.length + list.length > mostPartitions) packs.push([...list])
    else last.push(...list)
  }
  return packs
}
