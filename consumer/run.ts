// consumer/run: the one loop from topics to ClickHouse.
// Each turn commits "done so far, and this next" before it inserts.

import { MillraceError } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'
import { announce } from './assignment/announce.ts'
import type { AssignmentState, ConsumerContext } from './assignment/assignment.ts'
import { collect, fetchNext } from './assignment/collect.ts'
import { GroupInserts } from './assignment/group-inserts.ts'
import { resumeAssignment } from './assignment/takeover.ts'
import { Watch } from './assignment/watch.ts'
import { foldBatch, type LastRecords, learnSchemas, recoverBatch } from './insert/apply.ts'
import { type Batch, cutBatches } from './records/batch.ts'
import { partitionKey } from './records/partition-key.ts'
import { countRecords } from './records/slice.ts'
import { restarted, serverLifetime } from './warehouse/server-run.ts'
import { markUncertain } from './warehouse/uncertain.ts'

/** Records of a turn from which on there is taken to be a backlog. */
const backlogRecords = 10_000
/** How long a turn waits for inserts, and with a backlog, when the next records are there already. */
const patienceMs = 1_000
const backlogPatienceMs = 10_000
/** How long the last commit may take. Without it the next owner finds batches open and completes them. */
const lastCommitMs = 3_000

/**
 * Inserts until aborted. Losing the partitions ends an assignment, not the loop.
 * @throws {MillraceError} OFFSETS_MISSING, RECORD_UNREADABLE, CLICKHOUSE_FAILED, WAREHOUSE_DAMAGED: all need an operator
 */
export async function runFold(context: ConsumerContext, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const assignment = await context.pulse.during(context.membership.awaitAssignment(signal))
    if (signal.aborted) return
    try {
      const assigned = await context.pulse.during(resumeAssignment(context, assignment, signal))
      await fold(context, assigned, signal)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof MillraceError) || error.code !== 'FENCED') throw error
      context.writer.log.info('taking over anew', { reason: error.message })
    }
  }
}

async function fold(context: ConsumerContext, assigned: AssignmentState, signal: AbortSignal): Promise<void> {
  const over = new AbortController()
  const ended = AbortSignal.any([signal, over.signal])
  const inserts = new GroupInserts((batch, fallBehind) =>
    foldUntilKnown(context, assigned, { batch, fallBehind }, ended),
  )
  const watch = new Watch(context, assigned, { inserts, signal: ended })
  try {
    let next: ReturnType<typeof fetchNext> | undefined
    while (!signal.aborted && context.membership.generationId === assigned.assignment) {
      context.pulse.beat()
      await inserts.room()
      const fetched = await (next ?? fetchNext(context, assigned, inserts, signal))
      await watch.confirm()
      await learnSchemas(context.writer, fetched, signal)
      const slices = collect(context, assigned, inserts, fetched)
      const batches = cutBatches(slices, context.writer.tables)
      await announce(context, assigned, batches)
      advance(assigned, batches)
      // While there is a backlog, the next records are fetched during the insert; otherwise after it, so that they are as new as can be.
      next = countRecords(slices) < backlogRecords ? undefined : fetchNext(context, assigned, inserts, signal)
      next?.catch(() => {})
      inserts.start(batches)
      await inserts.settle(next === undefined ? patienceMs : backlogPatienceMs)
      inserts.check()
      watch.turn()
    }
  } finally {
    over.abort()
    await inserts.end()
    await watch.end()
    await commitLast(context, assigned)
  }
}

/** Also after a revocation or a failure, so that the next owner finds nothing open. */
async function commitLast(context: ConsumerContext, assigned: AssignmentState): Promise<void> {
  await announce(context, assigned, [], AbortSignal.timeout(lastCommitMs)).catch(error => {
    context.writer.log.debug('what was done last is not committed', { reason: String(error) })
  })
}

function advance(assigned: AssignmentState, batches: readonly Batch[]): void {
  for (const { topic, partition, end, reached } of batches.flatMap(({ slices }) => slices)) {
    const owned = assigned.owned.get(partitionKey(topic, partition))!
    owned.fetchFrom = end
    owned.reached = reached
  }
}

interface Attempting {
  readonly batch: Batch
  fallBehind(): void
}

/** A failed insert has an unknown outcome, so every further attempt looks first. Gives up only when the assignment is over. */
async function foldUntilKnown(
  context: ConsumerContext,
  assigned: AssignmentState,
  { batch, fallBehind }: Attempting,
  signal: AbortSignal,
): Promise<void> {
  const { writer, pulse } = context
  const attempt = async (count: number) => {
    pulse.beat()
    writer.inserter.requireOwnership()
    if (count === 1) return foldBatch(writer, batch)
    fallBehind()
    const server = await serverLifetime(writer.inserter.clickhouse)
    if (server !== assigned.server) throw restarted()
    const { certain, lasts } = await recoverBatch(writer, batch, { server, sameServer: true, isPast: false })
    if (!certain) await markUncertain(writer, 'an insert had failed in part')
    return lasts
  }
  markDone(
    assigned,
    batch,
    await retry(attempt, {
      ...{ what: 'fold a batch', signal, log: writer.log, failures: writer.failures },
      ...{ firstMs: 50, longestMs: 5000 },
    }),
  )
}

function markDone(assigned: AssignmentState, { slices }: Batch, lasts: LastRecords): void {
  for (const { topic, partition, end: offset, reached } of slices) {
    const key = partitionKey(topic, partition)
    const owned = assigned.owned.get(key)!
    owned.last = lasts.get(key) ?? owned.last
    owned.progress = { ...owned.progress, offset, reached, last: owned.last?.offset ?? -1 }
    owned.isNews = true
  }
}
