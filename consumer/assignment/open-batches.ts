// consumer/assignment/open-batches: completes the batches that a former owner announced and did not
// commit as inserted.

import { fetchRange } from '../../kafka/consumer/read-range.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sideBySide } from '../../runtime/side-by-side.ts'
import { sleep } from '../../runtime/wait.ts'
import { learnSchemas, recoverBatch } from '../insert/apply.ts'
import type { Batch } from '../records/batch.ts'
import { type OpenBatch, type OpenRange, openBatches, type Progress } from '../records/insert-intent.ts'
import { partitionKey, type Slice, sliceOfRange } from '../records/slice.ts'
import { serverRunId } from '../warehouse/server-run.ts'
import { markUncertain } from '../warehouse/uncertain.ts'
import { type ConsumerContext, commitOf } from './assignment.ts'
import { readProgress } from './group-progress.ts'

/** Pause between two checks whether another member has completed a batch. */
const askEveryMs = 100

/**
 * Completes each open batch whose first partition this member owns, as a whole and with one commit
 * for all its partitions. Waits for the other members to complete the other batches. So exactly one
 * member completes a batch, and no part of a batch is left over.
 * @returns the progress of the owned partitions, without open batches
 * @throws {MillraceError} FENCED when the assignment is over; OFFSETS_MISSING when a topic lacks
 *   records of a batch
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
    const found: FoundBatch[] = []
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
    next: 'none: the new owner continues',
  })
}

interface FoundBatch extends OpenBatch, Batch {
  readonly assignment: number
  isOwned(range: OpenRange): boolean
}

async function complete(context: ConsumerContext, batch: FoundBatch, signal: AbortSignal): Promise<void> {
  const { writer, membership } = context
  const { ranges, servers, isWhole, isOwned, assignment, slices } = batch
  const server = await serverRunId(writer.inserter.clickhouse)
  const sameServer = servers.size === 1 && servers.has(server)
  const { certain, lasts } = await recoverBatch(writer, batch, { server, sameServer, isPast: !isWhole })
  if (!certain) await markUncertain(writer, 'a batch was completed after a restart of ClickHouse or a failed insert')
  const commits = ranges.map((range, index) => {
    const { topic, partition, end: offset, lastPosition } = slices[index]!
    const lastOffset = lasts.get(partitionKey(topic, partition))?.offset ?? range.lastOffset
    const applied = { topic, partition, offset, lastPosition, lastOffset, floor: range.floor }
    // The partitions of other members keep their assignment: their owners have not compared them
    // yet.
    return commitOf(applied, isOwned(range) ? assignment : range.assignment)
  })
  await membership.commit(commits, signal)
}

/** The records of exactly this offset range, read again from the topic. */
async function readSlice({ reader, writer }: ConsumerContext, range: OpenRange, signal: AbortSignal): Promise<Slice> {
  const { topic, partition, end, lastPosition: before } = range
  const fetched = await fetchRange(reader, range, signal)
  await learnSchemas(writer, [fetched], signal)
  const slice = sliceOfRange(fetched, writer.tables.get(topic)!, { end, before })
  if (slice !== undefined) return slice
  throw new MillraceError('OFFSETS_MISSING', {
    what: `a batch that was left open ends at offset ${end}, and the topic no longer holds a record before that offset`,
    where: `topic ${topic}, partition ${partition}`,
    next: 'the brokers have lost records; start a new generation: millrace producer --new-generation',
  })
}
