// consumer/assignment/takeover: from a new assignment to known positions.

import { retry } from '../../runtime/retry.ts'
import type { BatchWriter } from '../insert/apply.ts'
import type { Progress } from '../records/insert-intent.ts'
import { partitionKey } from '../records/partition-key.ts'
import { serverLifetime } from '../warehouse/server-run.ts'
import { makeCertain, markUncertain, readUncertainty } from '../warehouse/uncertain.ts'
import { announce } from './announce.ts'
import type { AssignmentState, ConsumerContext, Owned } from './assignment.ts'
import { type Compared, compareOffsets } from './compare.ts'
import { reassigned, settleBatches } from './open-batches.ts'

/**
 * Completes what was left open, compares the committed offsets with ClickHouse and with the topics, and commits where each partition stands,
 * so that the others know that this member has looked at it.
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
    await nameRun(writer)
    const progress = await settleBatches(context, assignment, signal)
    const server = await nameRun(writer)
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

/** From here on, everything counts on this run of ClickHouse. */
async function nameRun({ inserter }: Pick<BatchWriter, 'inserter'>): Promise<string> {
  inserter.server = undefined
  const server = await serverLifetime(inserter.clickhouse)
  inserter.server = server
  return server
}

function ownedOf({ progress, last }: Compared): Owned {
  const { topic, partition, offset, reached } = progress
  return { topic, partition, progress, last, fetchFrom: offset, reached, isNews: true, mark: offset }
}

async function report(
  { writer, watermarks }: ConsumerContext,
  progress: readonly Progress[],
  compared: readonly Compared[],
): Promise<void> {
  let isShort = false
  for (const [index, { progress: applied, odd }] of compared.entries()) {
    const { topic, partition, offset: committed } = progress[index]!
    if (odd === undefined) continue
    writer.log.warn('the committed offset does not fit what ClickHouse holds', {
      topic,
      partition,
      committed,
      goesOnAt: applied.offset,
      reason: odd,
    })
    isShort ||= applied.offset < committed
  }
  // What it says is not visible any more.
  if (isShort) {
    await writer.inserter.clickhouse.command('TRUNCATE TABLE watermark')
    watermarks.forget()
  }
  const uncertain = compared.find(({ isUncertain }) => isUncertain)
  if (uncertain !== undefined) await markUncertain(writer, `${uncertain.progress.topic}: ${uncertain.odd}`)
}

/** As soon as nobody else folds; until then status names it. */
async function correctAggregates({ writer, membership }: ConsumerContext, assignment: number): Promise<void> {
  const { inserter, model, log } = writer
  const isAlone = () => membership.soleMember && membership.generationId === assignment
  writer.uncertainty = await readUncertainty(inserter.clickhouse)
  if (writer.uncertainty === undefined || model === undefined || !isAlone()) return
  await makeCertain(inserter.clickhouse, model, { log, isAlone })
  writer.uncertainty = await readUncertainty(inserter.clickhouse)
}

/** Only the newest watermark matters: each covers all before it. */
async function lastWatermark({
  reader,
  watermarksTopic,
}: Pick<ConsumerContext, 'reader' | 'watermarksTopic'>): Promise<number> {
  const [end] = await reader.endOffsets(watermarksTopic)
  const [start] = await reader.startOffsets(watermarksTopic)
  return Math.max((end ?? 0) - 1, start ?? 0)
}
