// consumer/assignment/assignment: the state of one assignment: the partitions that this member
// owns, and their progress.
// Types, and the commit of a progress.

import type { Generation } from '../../contract/generation.ts'
import type { Fetcher } from '../../kafka/consumer/fetcher.ts'
import type { OffsetCommit } from '../../kafka/group/coordinator.ts'
import type { Membership } from '../../kafka/group/group.ts'
import type { Pulse } from '../../runtime/health.ts'
import type { BatchWriter } from '../insert/apply.ts'
import type { LastRow } from '../insert/changelog.ts'
import { type Intent, type PartitionState, writeMetadata } from '../records/insert-intent.ts'
import type { WatermarkFollower } from '../warehouse/watermark.ts'
import type { GroupProgress } from './group-progress.ts'

export interface ConsumerContext {
  readonly generation: Generation
  readonly pulse: Pulse
  readonly membership: Membership
  /** Follows the topics. */
  readonly fetcher: Fetcher
  /** Reads single ranges of the topics. */
  readonly reader: Fetcher
  readonly writer: BatchWriter
  readonly watermarks: WatermarkFollower
  readonly watermarksTopic: string
  readonly groupProgress: GroupProgress
}

/** The progress of a partition: records below `offset` are in ClickHouse. */
export interface PartitionProgress extends PartitionState {
  readonly topic: string
  readonly partition: number
  /** Next offset to insert. */
  readonly offset: number
}

/** One partition that is assigned to this member. */
export interface OwnedPartition {
  readonly topic: string
  readonly partition: number
  /** Records below `progress.offset` are in ClickHouse. */
  progress: PartitionProgress
  /** The last record that has rows in the changelog, at `progress.lastOffset`. */
  lastRow: Pick<LastRow, 'offset' | 'position'> | undefined
  /** Next offset to fetch. Records from `progress.offset` to here are being inserted. */
  fetchFrom: number
  /**
   * Position of the last record before `fetchFrom`. A later record at or below this position is a
   * repetition.
   */
  lastPosition: PartitionProgress['lastPosition']
  /** Whether `progress` is not committed yet. */
  isUncommitted: boolean
  /** `progress.offset` of a minute ago. It becomes the floor if the server has run since. */
  nextFloor: number
}

/** The partitions that this member owns, from one rebalance to the next. */
export interface AssignmentState {
  /** The group's generation id. */
  readonly assignment: number
  /** By topic and partition. */
  readonly owned: ReadonlyMap<string, OwnedPartition>
  watermarkOffset: number
  /** The run of the ClickHouse server that its batches are announced to. */
  readonly server: string
}

/** The commit of a partition's progress and, before an insert, of its intent. */
export function commitOf(
  { topic, partition, offset, ...state }: PartitionProgress,
  assignment: number,
  intent?: Intent,
): OffsetCommit {
  return { topic, partition, offset, metadata: writeMetadata({ ...state, assignment }, intent) }
}
