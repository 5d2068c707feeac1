// consumer/tenure: what the loop works with, and what it owns between two assignments.
// May know: contract, kafka, consumer. Types and the key of a partition, nothing that acts.

import type { Generation } from '../contract/generation.ts'
import type { Position } from '../contract/position.ts'
import type { Fetcher } from '../kafka/fetch.ts'
import type { Membership } from '../kafka/group.ts'
import type { Folder } from './fold.ts'
import type { Others } from './others.ts'
import type { WatermarkFollower } from './watermark.ts'

export interface FoldLoop {
  readonly generation: Generation
  readonly membership: Membership
  readonly fetcher: Fetcher
  readonly folder: Folder
  readonly watermarks: WatermarkFollower
  readonly watermarksTopic: string
  readonly others: Others
}

/** How far a partition has been folded. */
export interface Folded {
  readonly topic: string
  readonly partition: number
  /** Next offset to fold. */
  offset: number
  /** Position of the last record before it; whatever follows at or below it is a repetition. */
  reached: Position | undefined
}

/** What this member owns and how far it has come; thrown away whenever the assignment changes. */
export interface Tenure {
  readonly assignment: number
  /** Of each partition, by topic and partition. */
  readonly positions: Map<string, Folded>
  /** Folded but not yet committed as done. */
  readonly done: Map<string, Folded>
  watermarkOffset: number
  /** The run of the ClickHouse server that its batches are announced to. */
  server: string
}
