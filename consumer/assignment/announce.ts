// consumer/assignment/announce: commits the progress of the partitions, and the batches that are
// inserted next.

import type { OffsetCommit } from '../../kafka/group/coordinator.ts'
import { type Batch, mostPartitions } from '../records/batch.ts'
import { partitionKey } from '../records/slice.ts'
import { type AssignmentState, type ConsumerContext, commitOf, type OwnedPartition } from './assignment.ts'

/**
 * Commits for each partition of the batches its progress and the intent to insert up to an offset,
 * and for each other partition its progress, if that is not committed yet. A commit is atomic and
 * takes a limited number of partitions. All partitions of a batch are in the same commit.
 */
export async function announce(
  { membership }: Pick<ConsumerContext, 'membership'>,
  assigned: AssignmentState,
  batches: readonly Batch[],
  signal?: AbortSignal,
): Promise<void> {
  const intents = batches.map(batch => intentsOf(assigned, batch))
  const announced = new Set(intents.flat().map(({ owned }) => owned))
  const uncommitted = [...assigned.owned.values()].filter(owned => owned.isUncommitted && !announced.has(owned))
  const done = uncommitted.map(owned => [{ owned, commit: commitOf(owned.progress, assigned.assignment) }])
  for (const part of packed([...intents, ...done])) {
    await membership.commit(
      part.map(({ commit }) => commit),
      signal,
    )
    for (const { owned } of part) owned.isUncommitted = false
  }
}

interface Pending {
  readonly owned: OwnedPartition
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
