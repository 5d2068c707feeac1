// consumer/run: the loop from topics to ClickHouse.
// Each turn commits the progress and the next batches before it inserts them.

import { MillraceError } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'
import { announce } from './assignment/announce.ts'
import type { AssignmentState, ConsumerContext } from './assignment/assignment.ts'
import { BackgroundWork } from './assignment/background.ts'
import { collect, fetchNext } from './assignment/collect.ts'
import { GroupInserts } from './assignment/group-inserts.ts'
import { resumeAssignment } from './assignment/resume.ts'
import { applyBatch, type LastRecords, learnSchemas, recoverBatch } from './insert/apply.ts'
import { type Batch, cutBatches } from './records/batch.ts'
import { countRecords, partitionKey } from './records/slice.ts'
import { restarted, serverRunId } from './warehouse/server-run.ts'
import { markUncertain } from './warehouse/uncertain.ts'

/** A turn with this many records means that there is a backlog. */
const backlogRecords = 10_000
/** How long a turn waits for its inserts, without a backlog and with one. */
const insertWaitMs = 1_000
const backlogWaitMs = 10_000
/**
 * Time limit of the last commit. If it fails, the next owner finds open batches and completes them.
 */
const lastCommitMs = 3_000

/**
 * Inserts until aborted. The loss of partitions ends an assignment, not the loop.
 * @throws {MillraceError} OFFSETS_MISSING, RECORD_UNREADABLE, CLICKHOUSE_FAILED, WAREHOUSE_DAMAGED:
 *   all need an operator
 */
export async function consume(context: ConsumerContext, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const assignment = await context.pulse.during(context.membership.awaitAssignment(signal))
    if (signal.aborted) return
    try {
      const assigned = await context.pulse.during(resumeAssignment(context, assignment, signal))
      await consumeAssignment(context, assigned, signal)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof MillraceError) || error.code !== 'FENCED') throw error
      context.writer.log.info('waiting for a new assignment', { reason: error.message })
    }
  }
}

/**
 * Two turns with a backlog, and what overlaps:
 *
 *     fetch 1 · commit 1 · insert 1 ────┐
 *                          fetch 2 ─────┴ commit 2 · insert 2 ────┐
 *                                                    fetch 3 ─────┴ …
 *
 * The commit of a turn contains the progress of the inserts before it and the intents of the next
 * ones. An insert that takes longer than the wait stays in progress, and only its group waits for
 * it.
 */
async function consumeAssignment(
  context: ConsumerContext,
  assigned: AssignmentState,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController()
  const ended = AbortSignal.any([signal, over.signal])
  const inserts = new GroupInserts((batch, fallBehind) =>
    applyUntilKnown(context, assigned, { batch, fallBehind }, ended),
  )
  const background = new BackgroundWork(context, assigned, { inserts, signal: ended })
  try {
    let next: ReturnType<typeof fetchNext> | undefined
    while (!signal.aborted && context.membership.generationId === assigned.assignment) {
      context.pulse.beat()
      await inserts.room()
      const fetched = await (next ?? fetchNext(context, assigned, inserts, signal))
      await background.confirm()
      await learnSchemas(context.writer, fetched, signal)
      const slices = collect(context, assigned, inserts, fetched)
      const batches = cutBatches(slices, context.writer.tables)
      await announce(context, assigned, batches)
      advanceFetch(assigned, batches)
      // With a backlog, the next records are fetched during the insert. Without one, they are
      // fetched after it, so that a batch has the newest records.
      next = countRecords(slices) < backlogRecords ? undefined : fetchNext(context, assigned, inserts, signal)
      // The next turn awaits it. Until then a failure must not count as unhandled.
      next?.catch(() => {})
      inserts.start(batches)
      await inserts.settle(next === undefined ? insertWaitMs : backlogWaitMs)
      inserts.check()
      background.start()
    }
  } finally {
    over.abort()
    await inserts.end()
    await background.end()
    await commitLast(context, assigned)
  }
}

/** Also after a revocation or a failure, so that the next owner finds no open batch. */
async function commitLast(context: ConsumerContext, assigned: AssignmentState): Promise<void> {
  await announce(context, assigned, [], AbortSignal.timeout(lastCommitMs)).catch(error => {
    context.writer.log.debug('the last progress is not committed', { reason: String(error) })
  })
}

function advanceFetch(assigned: AssignmentState, batches: readonly Batch[]): void {
  for (const { topic, partition, end, lastPosition } of batches.flatMap(({ slices }) => slices)) {
    const owned = assigned.owned.get(partitionKey(topic, partition))!
    owned.fetchFrom = end
    owned.lastPosition = lastPosition
  }
}

interface BatchAttempt {
  readonly batch: Batch
  fallBehind(): void
}

/**
 * Inserts a batch. The outcome of a failed insert is unknown, so each further attempt first looks
 * at what ClickHouse holds. Ends without success only when the assignment is over.
 */
async function applyUntilKnown(
  context: ConsumerContext,
  assigned: AssignmentState,
  { batch, fallBehind }: BatchAttempt,
  signal: AbortSignal,
): Promise<void> {
  const { writer, pulse } = context
  const attempt = async (count: number) => {
    pulse.beat()
    writer.inserter.requireOwnership()
    if (count === 1) return applyBatch(writer, batch)
    fallBehind()
    const server = await serverRunId(writer.inserter.clickhouse)
    if (server !== assigned.server) throw restarted()
    const { certain, lasts } = await recoverBatch(writer, batch, { server, sameServer: true, isPast: false })
    if (!certain) await markUncertain(writer, 'an insert had failed in part')
    return lasts
  }
  markInserted(
    assigned,
    batch,
    await retry(attempt, {
      ...{ what: 'insert a batch', signal, log: writer.log, failures: writer.failures },
      ...{ firstMs: 50, longestMs: 5000 },
    }),
  )
}

function markInserted(assigned: AssignmentState, { slices }: Batch, lasts: LastRecords): void {
  for (const { topic, partition, end: offset, lastPosition } of slices) {
    const key = partitionKey(topic, partition)
    const owned = assigned.owned.get(key)!
    owned.lastRow = lasts.get(key) ?? owned.lastRow
    owned.progress = { ...owned.progress, offset, lastPosition, lastOffset: owned.lastRow?.offset ?? -1 }
    owned.isUncommitted = true
  }
}
