// consumer/assignment/commit: commits the progress of the owned partitions.

import type { OffsetCommit } from '../../kafka/group/coordinator.ts'
import { writeMetadata } from '../records/progress.ts'
import type { AssignmentState, ConsumerContext, OwnedPartition } from './assignment.ts'

/**
 * Partitions per commit. Each takes about 250 bytes, and the brokers' topic of offsets takes 1 MB
 * per batch by default.
 */
export const mostPartitions = 2_000

/**
 * Commits the progress of each partition whose progress is not committed yet.
 * @throws {MillraceError} FENCED when the assignment is over
 */
export async function commitProgress(
  { membership }: Pick<ConsumerContext, 'membership'>,
  { owned, epoch }: AssignmentState,
  signal?: AbortSignal,
): Promise<void> {
  const left = [...owned.values()].filter(({ isUncommitted }) => isUncommitted)
  while (left.length > 0) {
    const part = left.splice(0, mostPartitions)
    for (const each of part) each.isUncommitted = false
    try {
      await membership.commit(
        part.map(each => commitOf(each, epoch)),
        signal,
      )
    } catch (error) {
      for (const each of part) each.isUncommitted = true
      throw error
    }
  }
}

function commitOf({ topic, partition, progress: { offset, ...state } }: OwnedPartition, epoch: string): OffsetCommit {
  return { topic, partition, offset, metadata: writeMetadata(state, epoch) }
}
