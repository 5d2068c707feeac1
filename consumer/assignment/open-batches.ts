// consumer/assignment/open-batches: the batches that somebody has left open, completed by one member each.

import { fetchRange } from '../../kafka/consumer/read-range.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sideBySide } from '../../runtime/side-by-side.ts'
import { sleep } from '../../runtime/wait.ts'
import { learnSchemas, recoverBatch } from '../insert/apply.ts'
import type { Batch } from '../records/batch.ts'
import { type OpenBatch, type OpenRange, openBatches, type Progress } from '../records/insert-intent.ts'
import { partitionKey } from '../records/partition-key.ts'
import { type Slice, sliceOfRange } from '../records/slice.ts'
import { serverLifetime } from '../warehouse/server-run.ts'
import { markUncertain } from '../warehouse/uncertain.ts'
import { type ConsumerContext, commitOf } from './assignment.ts'
import { readProgress } from './group-progress.ts'

/** How often to look whether another member has completed a batch. */
const askEveryMs = 100

/**
 * Completes the open batches whose first partition is owned, each whole and with one commit for all its partitions, and waits for the members
 * that complete the others. So nobody ever completes a batch beside somebody else, and no part of one stays behind.
 * @returns the progress of the owned partitions, in which nothing is open
 * @throws {MillraceError} FENCED when the assignment is over; OFFSETS_MISSING when a topic no longer holds what must be folded
 */
export async function settleBatches(
  context: ConsumerContext,
  assignment: number,
  signal: AbortSignal,
): Promise<Progress[]> {
  const { membership, writer } = context
  for (let asked = 0; ; asked++) {
    signal.throwIfAborted()
    const progress = await readProgress(context)
    if (membership.generationId !== assignment) throw reassigned()
    const owned = new Set(membership.partitions.map(({ topic, partition }) => partitionKey(topic, partition)))
    const isOwned = ({ topic, partition }: Pick<Progress, 'topic' | 'partition'>) =>
      owned.has(partitionKey(topic, partition))
    const open = [...openBatches(progress)].filter(([, { ranges }]) => ranges.some(isOwned))
    if (open.length === 0) return progress.filter(isOwned)
    const own = open.filter(([, { ranges }]) => isOwned(ranges[0]!))
    const found: Found[] = []
    for (const [name, batch] of own) {
      writer.log.info('completing a batch that was left open', { batch: name, ranges: batch.ranges.length })
      const slices: Slice[] = []
      for (const range of batch.ranges) slices.push(await readSlice(context, range, signal))
      const { group } = writer.tables.get(slices[0]!.topic)!
      found.push({ ...batch, name, group, slices, isOwned, assignment })
    }
    await sideBySide(new Set(found.map(({ group }) => group)), async group => {
      for (const batch of found.filter(each => each.group === group)) await complete(context, batch, signal)
    })
    if (own.length > 0) continue
    if (asked === 0) writer.log.info('another member completes a batch that was left open', { batch: open[0]![0] })
    await sleep(askEveryMs, signal)
  }
}

export function reassigned(): MillraceError {
  return new MillraceError('FENCED', {
    what: 'the partitions were reassigned meanwhile',
    next: 'none: whoever owns them now goes on',
  })
}

interface Found extends OpenBatch, Batch {
  readonly assignment: number
  isOwned(range: OpenRange): boolean
}

async function complete(context: ConsumerContext, batch: Found, signal: AbortSignal): Promise<void> {
  const { writer, membership } = context
  const { ranges, servers, isWhole, isOwned, assignment, slices } = batch
  const server = await serverLifetime(writer.inserter.clickhouse)
  const sameServer = servers.size === 1 && servers.has(server)
  const { certain, lasts } = await recoverBatch(writer, batch, { server, sameServer, isPast: !isWhole })
  if (!certain) await markUncertain(writer, 'a batch was completed after a restart of ClickHouse or a failed insert')
  const commits = ranges.map((range, index) => {
    const { topic, partition, end: offset, reached } = slices[index]!
    const last = lasts.get(partitionKey(topic, partition))?.offset ?? range.last
    const folded = { topic, partition, offset, reached, last, floor: range.floor }
    // For the partitions of others, not in the name of this assignment: their owners have yet to look at them.
    return commitOf(folded, isOwned(range) ? assignment : range.assignment)
  })
  await membership.commit(commits, signal)
}

/** The records of exactly this offset range, read again from the topic. */
async function readSlice({ reader, writer }: ConsumerContext, range: OpenRange, signal: AbortSignal): Promise<Slice> {
  const { topic, partition, end, reached: before } = range
  const fetched = await fetchRange(reader, range, signal)
  await learnSchemas(writer, [fetched], signal)
  const slice = sliceOfRange(fetched, writer.tables.get(topic)!, { end, before })
  if (slice !== undefined) return slice
  throw new MillraceError('OFFSETS_MISSING', {
    what: `a batch that was left open ends at offset ${end}, and the topic no longer holds a record before that`,
    where: `topic ${topic}, partition ${partition}`,
    next: 'the brokers have lost records; start a new generation: millrace producer --new-generation',
  })
}
