// consumer/assignment/assignment: the state of one assignment: the partitions that this member
// owns, and their progress.
// Types only.

import type { Generation } from '../../contract/generation.ts'
import type { Fetcher } from '../../kafka/consumer/fetcher.ts'
import type { Membership } from '../../kafka/group/group.ts'
import type { Pulse } from '../../runtime/health.ts'
import type { Aggregates } from '../fold/aggregates.ts'
import type { BatchWriter } from '../insert/apply.ts'
import type { LastRow } from '../insert/changelog.ts'
import type { PartitionState } from '../records/progress.ts'
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
  readonly aggregates: Aggregates
  readonly watermarks: WatermarkFollower
  readonly watermarksTopic: string
  readonly groupProgress: GroupProgress
  /** Whether this member folds, merges and writes watermarks. One member of the group does. */
  isLeader(): boolean
  /** Publishes the generation's views, once. Called before a watermark is written. */
  publish(): Promise<void>
}

/** The progress of a partition: records below `offset` are in ClickHouse. */
export interface PartitionProgress extends PartitionState {
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
  /** The epoch that its statements require. */
  readonly epoch: string
}
