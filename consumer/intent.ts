// consumer/intent: what a member is about to insert, written into the committed offset's metadata before it does.
// May know: contract, runtime. Pure.

import { createHash } from 'node:crypto'
import type { Position } from '../contract/position.ts'
import { MillraceError } from '../runtime/errors.ts'

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

/** The committed state of one partition: everything below `offset` is done; an open intent reaches from there to `end`. */
export interface Progress {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Position of the last record below `offset`. */
  readonly reached: Position | undefined
  readonly intent: Intent | undefined
}

/** An open batch's part of one partition, and the position of the last record before it. */
export type OpenRange = Range & Pick<Progress, 'reached'>

const version = 'v3'

/** Name of a batch: a function of its ranges alone, equal for everyone who completes it. */
export function batchName(ranges: readonly Range[]): string {
  const sorted = ranges.map(({ topic, partition, start, end }) => `${topic}/${partition}:${start}-${end}`).sort()
  return createHash('sha256').update(sorted.join('\n')).digest('hex').slice(0, 24)
}

/** Offset metadata, with an intent or without, well under the broker's limit of 4,096 bytes whatever the number of partitions. */
export function writeMetadata(reached: Position | undefined, intent?: Intent): string {
  const position = reached === undefined ? '-' : `${reached.lsn}:${reached.ordinal}`
  return intent === undefined
    ? `${version} ${position}`
    : `${version} ${position} ${intent.end} ${intent.batch} ${intent.server}`
}

/**
 * Reads a committed offset's metadata; empty for a partition that nobody has folded yet.
 * @throws {MillraceError} INTENT_UNREADABLE for metadata that millrace did not write
 */
export function readMetadata(metadata: string, where: string): Pick<Progress, 'reached' | 'intent'> {
  if (metadata === '') return { reached: undefined, intent: undefined }
  const match = /^v3 (?:-|(\d+):(\d+))(?: (\d+) ([0-9a-f]{24}) ([0-9a-f-]{36}))?$/.exec(metadata)
  if (!match) {
    throw new MillraceError('INTENT_UNREADABLE', {
      what: `the committed offset carries metadata that this version cannot read: "${metadata.slice(0, 80)}"`,
      where,
      next: 'another program commits in this consumer group, or a newer millrace did; stop it, or run that version again',
    })
  }
  const [, lsn, ordinal, end, batch, server] = match
  return {
    reached: lsn === undefined ? undefined : { lsn: Number(lsn), ordinal: Number(ordinal) },
    intent: end === undefined ? undefined : { end: Number(end), batch: batch!, server: server! },
  }
}

/**
 * The open batches among the progress of all partitions: batch name → its ranges. A batch that some partitions have already
 * left behind was inserted whole, because partitions are committed as done only after that.
 */
export function openBatches(progress: readonly Progress[]): Map<string, OpenRange[]> {
  const batches = new Map<string, OpenRange[]>()
  for (const { topic, partition, offset, reached, intent } of progress) {
    if (intent === undefined) continue
    const ranges = batches.get(intent.batch) ?? []
    ranges.push({ topic, partition, start: offset, end: intent.end, reached })
    batches.set(intent.batch, ranges)
  }
  return batches
}
