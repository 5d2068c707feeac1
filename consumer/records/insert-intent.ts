// consumer/records/insert-intent: what a committed offset says besides the offset: how far a partition is, and what its owner is about to insert.
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
  /** The run of the ClickHouse server that the batch was announced to. */
  readonly server: string
}

/** What is known of a partition's records below an offset. */
export interface Standing {
  /** Position of the last record of ours. */
  readonly reached: Position | undefined
  /** Offset of the last record that has rows in the changelog; −1 while none has. What follows it has none: it was repeated or set aside. */
  readonly last: number
  /** What stands below had been in ClickHouse for a minute, without a restart of the server, when this was written. */
  readonly floor: number
}

/** The committed state of one partition: everything below `offset` is done; an open intent reaches from there to `end`. */
export interface Progress extends Standing {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly intent: Intent | undefined
  /** Assignment of the group in which its owner committed it; −1 for one that millrace did not write. */
  readonly assignment: number
}

/** An open batch's part of one partition, and what is known of the records before it. */
export type OpenRange = Range & Omit<Progress, 'offset' | 'intent'>

export interface OpenBatch {
  readonly ranges: readonly OpenRange[]
  /** False when some of its partitions have left it behind: they are committed as done only after the whole batch has been inserted. */
  readonly isWhole: boolean
  /** The runs of the server that it was announced to. */
  readonly servers: ReadonlySet<string>
}

const version = 'v4'
const pattern = /^v4 (?:-|(\d+):(\d+)) (-1|\d+) (\d+) (-1|\d+)(?: (\d+) ([0-9a-f]{24}) ([0-9a-f-]{36}))?$/

/** Name of a batch: a function of its ranges alone, equal for everyone who completes it. */
export function batchName(ranges: readonly Range[]): string {
  const sorted = ranges.map(({ topic, partition, start, end }) => `${topic}/${partition}:${start}-${end}`).sort()
  return createHash('sha256').update(sorted.join('\n')).digest('hex').slice(0, 24)
}

/** Offset metadata, well under the broker's limit of 4,096 bytes whatever the number of partitions. */
export function writeMetadata(
  { reached, last, floor, assignment }: Standing & Pick<Progress, 'assignment'>,
  intent?: Intent,
): string {
  const position = reached === undefined ? '-' : `${reached.lsn}:${reached.ordinal}`
  const standing = `${version} ${position} ${last} ${floor} ${assignment}`
  return intent === undefined ? standing : `${standing} ${intent.end} ${intent.batch} ${intent.server}`
}

/**
 * Reads a committed offset's metadata. There is none where nobody has committed yet, or where Kafka's tools have moved the offset.
 * @throws {MillraceError} INTENT_UNREADABLE for metadata that millrace did not write
 */
export function readMetadata(metadata: string, where: string): Standing & Pick<Progress, 'intent' | 'assignment'> {
  if (metadata === '') return { reached: undefined, last: -1, floor: 0, assignment: -1, intent: undefined }
  const match = pattern.exec(metadata)
  if (!match) {
    throw new MillraceError('INTENT_UNREADABLE', {
      what: `the committed offset carries metadata that this version cannot read: "${metadata.slice(0, 80)}"`,
      where,
      next: 'if another program commits in this consumer group, stop it; then delete the group with kafka-consumer-groups.sh --delete: the consumer goes on where the changelogs in ClickHouse end',
    })
  }
  const [, lsn, ordinal, last, floor, assignment, end, batch, server] = match
  return {
    reached: lsn === undefined ? undefined : { lsn: Number(lsn), ordinal: Number(ordinal) },
    last: Number(last),
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
