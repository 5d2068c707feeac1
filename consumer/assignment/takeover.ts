// consumer/assignment/takeover: from a new assignment to known positions.

import { retry } from '../../runtime/retry.ts'
import type { Folder } from '../insert/apply.ts'
import type { Progress } from '../records/insert-intent.ts'
import { partitionKey } from '../records/partition-key.ts'
import { serverLifetime } from '../warehouse/server-run.ts'
import { makeCertain, markUncertain, readUncertainty } from '../warehouse/uncertain.ts'
import { announce } from './announce.ts'
import type { FoldLoop, Owned, Tenure } from './assignment.ts'
import { type Compared, compareOffsets } from './compare.ts'
import { reassigned, settleBatches } from './open-batches.ts'

/**
 * Completes what was left open, compares the committed offsets with ClickHouse and with the topics, and commits where each partition stands,
 * so that the others know that this member has looked at it.
 * @throws {MillraceError} FENCED when the assignment is over; OFFSETS_MISSING, WAREHOUSE_DAMAGED
 */
export async function takeOver(loop: FoldLoop, assignment: number, signal: AbortSignal): Promise<Tenure> {
  const { folder, membership } = loop
  const started = performance.now()
  const attempt = async () => {
    await nameRun(folder)
    const progress = await settleBatches(loop, assignment, signal)
    const server = await nameRun(folder)
    const compared = await compareOffsets(loop, progress, { server, signal })
    await report(loop, progress, compared)
    if (membership.assignment !== assignment) throw reassigned()
    const owned = new Map(compared.map(each => [partitionKey(each.folded.topic, each.folded.partition), ownedOf(each)]))
    const tenure = { assignment, owned, watermarkOffset: await lastWatermark(loop), server }
    await announce(loop, tenure, [])
    await correctAggregates(loop, assignment)
    const ms = Math.round(performance.now() - started)
    folder.log.info('partitions were taken over', { partitions: owned.size, ms })
    return tenure
  }
  return retry(attempt, { what: 'take over partitions', signal, log: folder.log, failures: folder.failures })
}

/** From here on, everything counts on this run of ClickHouse. */
async function nameRun({ inserter }: Pick<Folder, 'inserter'>): Promise<string> {
  inserter.server = undefined
  const server = await serverLifetime(inserter.clickhouse)
  inserter.server = server
  return server
}

function ownedOf({ folded, last }: Compared): Owned {
  const { topic, partition, offset, reached } = folded
  return { topic, partition, folded, last, fetchFrom: offset, reached, isNews: true, mark: offset }
}

async function report(
  { folder, watermarks }: FoldLoop,
  progress: readonly Progress[],
  compared: readonly Compared[],
): Promise<void> {
  let isShort = false
  for (const [index, { folded, odd }] of compared.entries()) {
    const { topic, partition, offset: committed } = progress[index]!
    if (odd === undefined) continue
    folder.log.warn('the committed offset does not fit what ClickHouse holds', {
      topic,
      partition,
      committed,
      goesOnAt: folded.offset,
      reason: odd,
    })
    isShort ||= folded.offset < committed
  }
  // What it says is not visible any more.
  if (isShort) {
    await folder.inserter.clickhouse.command('TRUNCATE TABLE watermark')
    watermarks.forget()
  }
  const uncertain = compared.find(({ isUncertain }) => isUncertain)
  if (uncertain !== undefined) await markUncertain(folder, `${uncertain.folded.topic}: ${uncertain.odd}`)
}

/** As soon as nobody else folds; until then status names it. */
async function correctAggregates({ folder, membership }: FoldLoop, assignment: number): Promise<void> {
  const { inserter, model, log } = folder
  const isAlone = () => membership.soleMember && membership.assignment === assignment
  folder.uncertainty = await readUncertainty(inserter.clickhouse)
  if (folder.uncertainty === undefined || model === undefined || !isAlone()) return
  await makeCertain(inserter.clickhouse, model, { log, isAlone })
  folder.uncertainty = await readUncertainty(inserter.clickhouse)
}

/** Only the newest watermark matters: each covers all before it. */
export async function lastWatermark({
  reader,
  watermarksTopic,
}: Pick<FoldLoop, 'reader' | 'watermarksTopic'>): Promise<number> {
  const [end] = await reader.endOffsets(watermarksTopic)
  const [start] = await reader.startOffsets(watermarksTopic)
  return Math.max((end ?? 0) - 1, start ?? 0)
}
