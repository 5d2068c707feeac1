// consumer/assignment/assignment: what the loop works with, and what it owns between two assignments.
// Types, nothing that acts.

import type { Generation } from '../../contract/generation.ts'
import type { Fetcher } from '../../kafka/consumer/fetcher.ts'
import type { OffsetCommit } from '../../kafka/group/coordinator.ts'
import type { Membership } from '../../kafka/group/group.ts'
import type { Pulse } from '../../runtime/health.ts'
import type { BatchWriter } from '../insert/apply.ts'
import type { LastRow } from '../insert/changelog.ts'
import { type Intent, type Standing, writeMetadata } from '../records/insert-intent.ts'
import type { WatermarkFollower } from '../warehouse/watermark.ts'
import type { Others } from './group-progress.ts'

export interface ConsumerContext {
  readonly generation: Generation
  readonly pulse: Pulse
  readonly membership: Membership
  /** Follows the topics. */
  readonly fetcher: Fetcher
  /** Reads single ranges of them. */
  readonly reader: Fetcher
  readonly writer: BatchWriter
  readonly watermarks: WatermarkFollower
  readonly watermarksTopic: string
  readonly others: Others
}

/** Up to where a partition has been folded, and what is known of the records before. */
export interface PartitionProgress extends Standing {
  readonly topic: string
  readonly partition: number
  /** Next offset to fold. */
  readonly offset: number
}

/** One partition that is assigned to this member. */
export interface Owned {
  readonly topic: string
  readonly partition: number
  /** What is in ClickHouse. */
  progress: PartitionProgress
  /** The last record that has rows in the changelog, at `folded.last`. */
  last: Pick<LastRow, 'offset' | 'position'> | undefined
  /** Next offset to fetch: behind `applied.offset` lies what is being inserted. */
  fetchFrom: number
  /** Position of the last record before it; whatever follows at or below it is a repetition. */
  reached: PartitionProgress['reached']
  /** Whether `folded` has not been committed yet. */
  isNews: boolean
  /** `applied.offset` a while ago: becomes the floor once the server has outlived it. */
  mark: number
}

/** What this member owns and how far it has come; thrown away whenever the assignment changes. */
export interface AssignmentState {
  readonly assignment: number
  /** By topic and partition. */
  readonly owned: ReadonlyMap<string, Owned>
  watermarkOffset: number
  /** The run of the ClickHouse server that its batches are announced to. */
  readonly server: string
}

/** What is committed for a partition that is folded up to here and, with an intent, about to go on. */
export function commitOf(
  { topic, partition, offset, ...standing }: PartitionProgress,
  assignment: number,
  intent?: Intent,
): OffsetCommit {
  return { topic, partition, offset, metadata: writeMetadata({ ...standing, assignment }, intent) }
}
