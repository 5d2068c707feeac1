// consumer/run: the loop from topics to ClickHouse.
// It fetches while inserts run. Progress is committed after the inserts.

import { MillraceError } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'
import type { AssignmentState, ConsumerContext } from './assignment/assignment.ts'
import { BackgroundWork } from './assignment/background.ts'
import { collect, fetchNext } from './assignment/collect.ts'
import { commitProgress } from './assignment/commit.ts'
import { isUnanswered, takeOver } from './assignment/takeover.ts'
import { applySlices, type LastRecords, learnSchemas } from './insert/apply.ts'
import { TableInserts } from './insert/table-inserts.ts'
import { countRecords, partitionKey, type Slice } from './records/slice.ts'

/** Time limit of the last commit. If it fails, the next owner finds the rows in the changelogs. */
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
      const assigned = await context.pulse.during(takeOver(context, assignment, signal))
      await consumeAssignment(context, assigned, signal)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof MillraceError) || error.code !== 'FENCED') throw error
      context.writer.log.info('taking the partitions over again', { reason: error.message })
    }
  }
}

async function consumeAssignment(
  context: ConsumerContext,
  assigned: AssignmentState,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController()
  const ended = AbortSignal.any([signal, over.signal])
  const background = new BackgroundWork(context, assigned, ended)
  const inserts = new TableInserts(async (slices, onFailure) => {
    await insertUntilKnown(context, assigned, { slices, onFailure, signal: ended })
    background.start()
  }, ended)
  try {
    while (!signal.aborted && context.membership.generationId === assigned.assignment) {
      context.pulse.beat()
      await inserts.room()
      const fetched = await fetchNext(context, assigned, inserts, signal)
      await background.confirm()
      await learnSchemas(context.writer, fetched, signal)
      inserts.add(collect(context, assigned, fetched))
      background.start()
      await inserts.settle()
      inserts.check()
    }
  } finally {
    over.abort()
    await inserts.end()
    await background.end()
    await commitLast(context, assigned)
  }
}

/** Also after a revocation or a failure, so that the next owner has less to compare. */
async function commitLast(context: ConsumerContext, assigned: AssignmentState): Promise<void> {
  await commitProgress(context, assigned, AbortSignal.timeout(lastCommitMs)).catch(error => {
    context.writer.log.debug('the last progress is not committed', { reason: String(error) })
  })
}

/**
 * Inserts slices of one table. ClickHouse may have stored a part of an insert that it answered with
 * an error, so each further attempt first looks for the rows. Ends without success only when the
 * assignment is over. An insert without an answer ends it.
 */
async function insertUntilKnown(
  { writer, pulse }: ConsumerContext,
  assigned: AssignmentState,
  { slices, onFailure, signal }: { slices: readonly Slice[]; onFailure: () => void; signal: AbortSignal },
): Promise<void> {
  const table = writer.tables.get(slices[0]!.topic)!
  const { log, failures } = writer
  const attempt = async (count: number) => {
    pulse.beat()
    try {
      const started = performance.now()
      const lasts = await applySlices(writer, table, { slices, isRepeated: count > 1 })
      log.debug('inserted', {
        topic: table.topic,
        records: countRecords(slices),
        ms: Math.round(performance.now() - started),
      })
      return lasts
    } catch (error) {
      onFailure()
      throw isUnanswered(error) ? unanswered(error) : error
    }
  }
  const options = { what: 'insert records', signal, log, failures, firstMs: 50, longestMs: 5000 }
  markInserted(assigned, slices, await retry(attempt, options))
}

function unanswered(cause: MillraceError): MillraceError {
  return new MillraceError('FENCED', {
    what: `the outcome of an insert is unknown: ${cause.message}`,
    next: 'none: the consumer begins a new epoch and looks at what ClickHouse holds',
    cause,
  })
}

function markInserted(assigned: AssignmentState, slices: readonly Slice[], lasts: LastRecords): void {
  for (const { topic, partition, end: offset, lastPosition } of slices) {
    const key = partitionKey(topic, partition)
    const owned = assigned.owned.get(key)!
    owned.lastRow = lasts.get(key) ?? owned.lastRow
    owned.progress = { ...owned.progress, offset, lastPosition, lastOffset: owned.lastRow?.offset ?? -1 }
    owned.isUncommitted = true
  }
}
