// consumer/intent: what a member is about to insert, written into the committed offset's metadata before it does.
// May know: runtime. Pure.

import { createHash } from 'node:crypto'
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
  readonly intent: Intent | undefined
}

const version = 'v2'

/** Name of a batch: a function of its ranges alone, equal for everyone who completes it. */
export function batchName(ranges: readonly Range[]): string {
  const sorted = ranges.map(({ topic, partition, start, end }) => `${topic}/${partition}:${start}-${end}`).sort()
  return createHash('sha256').update(sorted.join('\n')).digest('hex').slice(0, 24)
}

/** Offset metadata of an open intent, well under the broker's limit of 4,096 bytes whatever the number of partitions. */
export function writeIntent({ end, batch, server }: Intent): string {
  return `${version} ${end} ${batch} ${server}`
}

/**
 * Reads a committed offset's metadata; empty means nothing is open.
 * @throws {MillraceError} INTENT_UNREADABLE for metadata that millrace did not write
 */
export function readIntent(metadata: string, where: string): Progress['intent'] {
  if (metadata === '') return undefined
  const match = /^v2 (\d+) ([0-9a-f]{24}) ([0-9a-f-]{36})$/.exec(metadata)
  if (!match) {
    throw new MillraceError('INTENT_UNREADABLE', {
      what: `the committed offset carries metadata that this version cannot read: "${metadata.slice(0, 80)}"`,
      where,
      next: 'another program commits in this consumer group, or a newer millrace did; stop it, or run that version again',
    })
  }
  return { end: Number(match[1]), batch: match[2]!, server: match[3]! }
}

/**
 * The open batches among the progress of all partitions: batch name → its ranges. A batch that some partitions have already
 * left behind was inserted whole, because partitions are committed as done only after that.
 */
export function openBatches(progress: readonly Progress[]): Map<string, Range[]> {
  const batches = new Map<string, Range[]>()
  for (const { topic, partition, offset, intent } of progress) {
    if (intent === undefined) continue
    const ranges = batches.get(intent.batch) ?? []
    ranges.push({ topic, partition, start: offset, end: intent.end })
    batches.set(intent.batch, ranges)
  }
  return batches
}
