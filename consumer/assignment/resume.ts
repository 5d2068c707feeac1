// consumer/assignment/resume: finds where each partition of a new assignment continues.

import { retry } from '../../runtime/retry.ts'
import type { BatchWriter } from '../insert/apply.ts'
import type { Progress } from '../records/insert-intent.ts'
import { partitionKey } from '../records/slice.ts'
import { serverRunId } from '../warehouse/server-run.ts'
import { makeCertain, markUncertain, readUncertainty } from '../warehouse/uncertain.ts'
import { announce } from './announce.ts'
import type { AssignmentState, ConsumerContext, OwnedPartition } from './assignment.ts'
import { type ComparedPartition, compareOffsets } from './compare.ts'
import { reassigned, settleBatches } from './open-batches.ts'

/**
 * Completes open batches, compares the committed offsets with ClickHouse and with the topics, and
 * commits the progress of each partition. The commit tells the other members that this member has
 * compared the partition.
 * @throws {MillraceError} FENCED when the assignment is over; OFFSETS_MISSING, WAREHOUSE_DAMAGED
 */
export async function resumeAssignment(
  context: ConsumerContext,
  assignment: number,
  signal: AbortSignal,
): Promise<AssignmentState> {
  const { writer, membership } = context
  const started = performance.now()
  const attempt = async () => {
    await readServerRun(writer)
    const progress = await settleBatches(context, assignment, signal)
    const server = await readServerRun(writer)
    const compared = await compareOffsets(context, progress, { server, signal })
    await report(context, progress, compared)
    if (membership.generationId !== assignment) throw reassigned()
    const owned = new Map(
      compared.map(each => [partitionKey(each.progress.topic, each.progress.partition), ownedOf(each)]),
    )
    const assigned = { assignment, owned, watermarkOffset: await lastWatermark(context), server }
    await announce(context, assigned, [])
    await correctAggregates(context, assignment)
    const ms = Math.round(performance.now() - started)
    writer.log.info('partitions were taken over', { partitions: owned.size, ms })
    return assigned
  }
  return retry(attempt, { what: 'take over partitions', signal, log: writer.log, failures: writer.failures })
}

/** The run of the ClickHouse server that all later statements require. */
async function readServerRun({ inserter }: Pick<BatchWriter, 'inserter'>): Promise<string> {
  inserter.server = undefined
  const server = await serverRunId(inserter.clickhouse)
  inserter.server = server
  return server
}

function ownedOf({ progress, last }: ComparedPartition): OwnedPartition {
  const { topic, partition, offset, lastPosition } = progress
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
  { writer, watermarks }: ConsumerContext,
  progress: readonly Progress[],
  compared: readonly ComparedPartition[],
): Promise<void> {
  let isShort = false
  for (const [index, { progress: applied, mismatch }] of compared.entries()) {
    const { topic, partition, offset: committed } = progress[index]!
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
  if (isShort) {
    await writer.inserter.clickhouse.command('TRUNCATE TABLE watermark')
    watermarks.forget()
  }
  const uncertain = compared.find(({ isUncertain }) => isUncertain)
  if (uncertain !== undefined) await markUncertain(writer, `${uncertain.progress.topic}: ${uncertain.mismatch}`)
}

/**
 * Only while this member is alone in the group. Until then `millrace status` says that aggregates
 * are uncertain.
 */
async function correctAggregates({ writer, membership }: ConsumerContext, assignment: number): Promise<void> {
  const { inserter, model, log } = writer
  const isAlone = () => membership.soleMember && membership.generationId === assignment
  writer.uncertainty = await readUncertainty(inserter.clickhouse)
  if (writer.uncertainty === undefined || model === undefined || !isAlone()) return
  await makeCertain(inserter.clickhouse, model, { log, isAlone })
  writer.uncertainty = await readUncertainty(inserter.clickhouse)
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
