// consumer/records/insert-intent: the metadata of a committed offset: the partition's progress, and
// its next insert.
// Pure.

import { createHash } from 'node:crypto'
import type { Position } from '../../contract/position.ts'
import { MillraceError } from '../../runtime/errors.ts'

export interface Range {
  readonly topic: string
  readonly partition: number
  readonly start: number
  readonly end: number
}

export interface Intent {
  readonly end: number
  readonly batch: string
  /** The run of the ClickHouse server at the time of the announcement. */
  readonly server: string
}

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

/**
 * The committed state of one partition: records below `offset` are inserted. An open intent is
 * about `offset` to `end`.
 */
export interface Progress extends PartitionState {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly intent: Intent | undefined
  /**
   * The group's generation id at the time of the commit; −1 for a commit that millrace did not
   * write.
   */
  readonly assignment: number
}

/** The part of an open batch in one partition, and the state of the records before it. */
export type OpenRange = Range & Omit<Progress, 'offset' | 'intent'>

export interface OpenBatch {
  readonly ranges: readonly OpenRange[]
  /**
   * False when a partition was committed past the batch, which happens only after the insert of the
   * whole batch.
   */
  readonly isWhole: boolean
  /** The runs of the server at the announcements. */
  readonly servers: ReadonlySet<string>
}

const version = 'v4'
const pattern = /^v4 (?:-|(\d+):(\d+)) (-1|\d+) (\d+) (-1|\d+)(?: (\d+) ([0-9a-f]{24}) ([0-9a-f-]{36}))?$/

/** Name of a batch. It depends on the ranges alone, so every member computes the same name. */
export function batchName(ranges: readonly Range[]): string {
  const sorted = ranges.map(({ topic, partition, start, end }) => `${topic}/${partition}:${start}-${end}`).sort()
  return createHash('sha256').update(sorted.join('\n')).digest('hex').slice(0, 24)
}

/** Offset metadata, well below the broker's limit of 4,096 bytes for any number of partitions. */
export function writeMetadata(
  { lastPosition, lastOffset, floor, assignment }: PartitionState & Pick<Progress, 'assignment'>,
  intent?: Intent,
): string {
  const position = lastPosition === undefined ? '-' : `${lastPosition.lsn}:${lastPosition.ordinal}`
  const state = `${version} ${position} ${lastOffset} ${floor} ${assignment}`
  return intent === undefined ? state : `${state} ${intent.end} ${intent.batch} ${intent.server}`
}

/**
 * Reads a committed offset's metadata. It is empty before the first commit, or after Kafka's tools
 * have moved the offset.
 * @throws {MillraceError} INTENT_UNREADABLE for metadata that millrace did not write
 */
export function readMetadata(
  metadata: string,
  where: string,
): PartitionState & Pick<Progress, 'intent' | 'assignment'> {
  if (metadata === '') return { lastPosition: undefined, lastOffset: -1, floor: 0, assignment: -1, intent: undefined }
  const match = pattern.exec(metadata)
  if (!match) {
    throw new MillraceError('INTENT_UNREADABLE', {
      what: `the committed offset has metadata that this version cannot read: "${metadata.slice(0, 80)}"`,
      where,
      next: 'if another program commits in this consumer group, stop it; then delete the group with kafka-consumer-groups.sh --delete: the consumer then continues at the end of the changelogs in ClickHouse',
    })
  }
  const [, lsn, ordinal, last, floor, assignment, end, batch, server] = match
  return {
    lastPosition: lsn === undefined ? undefined : { lsn: Number(lsn), ordinal: Number(ordinal) },
    lastOffset: Number(last),
    floor: Number(floor),
    assignment: Number(assignment),
    intent: end === undefined ? undefined : { end: Number(end), batch: batch!, server: server! },
  }
}

/** The open batches among the progress of all partitions, by name. */
export function openBatches(progress: readonly Progress[]): Map<string, OpenBatch> {
  const ranges = new Map<string, OpenRange[]>()
  const servers = new Map<string, Set<string>>()
  for (const { offset, intent, ...of } of progress) {
    if (intent === undefined) continue
    const { batch, end, server } = intent
    ranges.set(batch, [...(ranges.get(batch) ?? []), { ...of, start: offset, end }])
    servers.set(batch, (servers.get(batch) ?? new Set()).add(server))
  }
  return new Map(
    [...ranges].map(([batch, own]) => [
      batch,
      { ranges: own, isWhole: batchName(own) === batch, servers: servers.get(batch)! },
    ]),
  )
}
