// consumer/assignment/takeover: finds where each partition of a new assignment continues.

import type { Membership } from '../../kafka/group/group.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { retry } from '../../runtime/retry.ts'
import { guard } from '../insert/inserter.ts'
import { waitForRunningInserts } from '../insert/recover.ts'
import type { Progress } from '../records/progress.ts'
import { partitionKey } from '../records/slice.ts'
import { beginEpoch } from '../warehouse/epoch.ts'
import type { AssignmentState, ConsumerContext, OwnedPartition } from './assignment.ts'
import { commitProgress } from './commit.ts'
import { type ComparedPartition, compareOffsets } from './compare.ts'
import { readProgress } from './group-progress.ts'

/**
 * Begins an epoch, so that no former owner inserts any more, and waits for inserts that have begun.
 * Then compares the committed offsets with ClickHouse and with the topics, and commits the progress
 * of each partition. The commit tells the other members that this member has compared the
 * partition.
 * @throws {MillraceError} FENCED when the assignment is over; OFFSETS_MISSING, WAREHOUSE_DAMAGED
 */
export async function takeOver(
  context: ConsumerContext,
  assignment: number,
  signal: AbortSignal,
): Promise<AssignmentState> {
  const { writer, membership, watermarks } = context
  const { inserter } = writer
  const started = performance.now()
  let former = inserter.epoch
  const attempt = async () => {
    if (membership.generationId !== assignment) throw reassigned()
    const epoch = await beginEpoch(inserter.clickhouse, membership.assignmentId, former)
    inserter.epoch = epoch.id
    former = undefined
    await waitForRunningInserts(inserter)
    // ClickHouse may have lost rows.
    watermarks.forget()
    const progress = await ownedProgress(context)
    const compared = await compareOffsets(context, progress, { epoch, signal })
    await report(context, progress, compared)
    if (membership.generationId !== assignment) throw reassigned()
    const owned = new Map(compared.map(each => [partitionKey(each.topic, each.partition), ownedOf(each)]))
    const assigned = { assignment, owned, watermarkOffset: await lastWatermark(context), epoch: epoch.id }
    await commitProgress(context, assigned, signal)
    const ms = Math.round(performance.now() - started)
    writer.log.info('partitions were taken over', { partitions: owned.size, ms })
    return assigned
  }
  const answered = async () => {
    try {
      return await attempt()
    } catch (error) {
      if (isUnanswered(error)) former = inserter.epoch
      throw error
    }
  }
  return retry(answered, { what: 'take over partitions', signal, log: writer.log, failures: writer.failures })
}

/** The server may still receive the statement, however late. A new epoch excludes that. */
export function isUnanswered(error: unknown): error is MillraceError {
  return error instanceof MillraceError && error.code === 'CLICKHOUSE_UNREACHABLE'
}

export function reassigned(): MillraceError {
  return new MillraceError('FENCED', {
    what: 'the partitions were reassigned meanwhile',
    next: 'none: the new owner continues',
  })
}

async function ownedProgress(context: ConsumerContext & { membership: Membership }): Promise<Progress[]> {
  const progress = await readProgress(context)
  const owned = new Set(context.membership.partitions.map(({ topic, partition }) => partitionKey(topic, partition)))
  return progress.filter(({ topic, partition }) => owned.has(partitionKey(topic, partition)))
}

function ownedOf({ topic, partition, progress, last }: ComparedPartition): OwnedPartition {
  const { offset, lastPosition } = progress
  return {
    topic,
    partition,
    progress,
    lastRow: last,
    fetchFrom: offset,
    lastPosition,
    isUncommitted: true,
    nextFloor: offset,
  }
}

async function report(
  { writer }: ConsumerContext,
  progress: readonly Progress[],
  compared: readonly ComparedPartition[],
): Promise<void> {
  let isShort = false
  for (const [index, { topic, partition, progress: applied, mismatch }] of compared.entries()) {
    const { offset: committed } = progress[index]!
    if (mismatch === undefined) continue
    writer.log.warn('the committed offset does not match ClickHouse', {
      topic,
      partition,
      committed,
      continuesAt: applied.offset,
      reason: mismatch,
    })
    isShort ||= applied.offset < committed
  }
  // The written watermark covers rows that ClickHouse has lost.
  if (!isShort) return
  await writer.inserter.clickhouse.rows(`SELECT ${guard(writer.inserter)}`)
  await writer.inserter.clickhouse.command('TRUNCATE TABLE watermark')
}

/** The newest watermark is enough, because it covers all earlier ones. */
async function lastWatermark({
  reader,
  watermarksTopic,
}: Pick<ConsumerContext, 'reader' | 'watermarksTopic'>): Promise<number> {
  const [end] = await reader.endOffsets(watermarksTopic)
  const [start] = await reader.startOffsets(watermarksTopic)
  return Math.max((end ?? 0) - 1, start ?? 0)
}
