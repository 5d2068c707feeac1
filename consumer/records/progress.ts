// consumer/records/progress: the metadata of a committed offset: what is known of the records
// before it.
// Pure.

import type { Position } from '../../contract/position.ts'
import { MillraceError } from '../../runtime/errors.ts'

/** The state of a partition's records below an offset. */
export interface PartitionState {
  /** Position of the last record that millrace wrote. */
  readonly lastPosition: Position | undefined
  /**
   * Offset of the last record that has rows in the changelog; −1 while none has. Later records are
   * repetitions or dead letters.
   */
  readonly lastOffset: number
  /**
   * Rows below this offset had been in ClickHouse for a minute, without a restart, at the time of
   * the commit.
   */
  readonly floor: number
}

/** The committed state of one partition: records below `offset` are in ClickHouse. */
export interface Progress extends PartitionState {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** The epoch of the commit; undefined for a commit that millrace did not write. */
  readonly epoch: string | undefined
}

const version = 'v5'
const pattern = /^v5 (?:-|(\d+):(\d+)) (-1|\d+) (\d+) ([0-9a-f]{24}\.[0-9a-f-]+)$/

/** Offset metadata of about 100 bytes. The broker's limit is 4,096 bytes. */
export function writeMetadata({ lastPosition, lastOffset, floor }: PartitionState, epoch: string): string {
  const position = lastPosition === undefined ? '-' : `${lastPosition.lsn}:${lastPosition.ordinal}`
  return `${version} ${position} ${lastOffset} ${floor} ${epoch}`
}

/**
 * Reads a committed offset's metadata. It is empty before the first commit, or after Kafka's tools
 * have moved the offset.
 * @throws {MillraceError} COMMIT_UNREADABLE for metadata that millrace did not write
 */
export function readMetadata(metadata: string, where: string): PartitionState & Pick<Progress, 'epoch'> {
  if (metadata === '') return { lastPosition: undefined, lastOffset: -1, floor: 0, epoch: undefined }
  const match = pattern.exec(metadata)
  if (!match) {
    throw new MillraceError('COMMIT_UNREADABLE', {
      what: `the committed offset has metadata that this version cannot read: "${metadata.slice(0, 80)}"`,
      where,
      next: 'stop the consumers and any other program that commits in this group, delete the group with kafka-consumer-groups.sh --delete, and start the consumers again: they continue at the end of the changelogs in ClickHouse',
    })
  }
  const [, lsn, ordinal, last, floor, epoch] = match
  return {
    lastPosition: lsn === undefined ? undefined : { lsn: Number(lsn), ordinal: Number(ordinal) },
    lastOffset: Number(last),
    floor: Number(floor),
    epoch: epoch!,
  }
}
