// consumer/run: the one loop from topics to ClickHouse.
// Each turn commits "done so far, and this next" before it inserts.

import { MillraceError } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'
import { announce } from './assignment/announce.ts'
import type { FoldLoop, Tenure } from './assignment/assignment.ts'
import { collect, fetchNext } from './assignment/collect.ts'
import { Lanes } from './assignment/lanes.ts'
import { takeOver } from './assignment/takeover.ts'
import { Watch } from './assignment/watch.ts'
import { foldBatch, type LastRecords, learnSchemas, recoverBatch } from './insert/apply.ts'
import { type Batch, cutBatches } from './records/batch.ts'
import { partitionKey } from './records/partition-key.ts'
import { countRecords } from './records/record-range.ts'
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
 * Folds until aborted. Losing ownership ends a tenure, not the loop.
 * @throws {MillraceError} OFFSETS_MISSING, RECORD_UNREADABLE, CLICKHOUSE_FAILED, WAREHOUSE_DAMAGED: all need an operator
 */
export async function runFold(loop: FoldLoop, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const assignment = await loop.pulse.during(loop.membership.assigned(signal))
    if (signal.aborted) return
    try {
      const tenure = await loop.pulse.during(takeOver(loop, assignment, signal))
      await fold(loop, tenure, signal)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof MillraceError) || error.code !== 'FENCED') throw error
      loop.folder.log.info('taking over anew', { reason: error.message })
    }
  }
}

async function fold(loop: FoldLoop, tenure: Tenure, signal: AbortSignal): Promise<void> {
  const over = new AbortController()
  const ended = AbortSignal.any([signal, over.signal])
  const lanes = new Lanes((batch, fallBehind) => foldUntilKnown(loop, tenure, { batch, fallBehind }, ended))
  const watch = new Watch(loop, tenure, { lanes, signal: ended })
  try {
    let next: ReturnType<typeof fetchNext> | undefined
    while (!signal.aborted && loop.membership.assignment === tenure.assignment) {
      loop.pulse.beat()
      await lanes.room()
      const fetched = await (next ?? fetchNext(loop, tenure, lanes, signal))
      await watch.confirm()
      await learnSchemas(loop.folder, fetched, signal)
      const slices = collect(loop, tenure, lanes, fetched)
      const batches = cutBatches(slices, loop.folder.tables)
      await announce(loop, tenure, batches)
      advance(tenure, batches)
      // While there is a backlog, the next records are fetched during the insert; otherwise after it, so that they are as new as can be.
      next = countRecords(slices) < backlogRecords ? undefined : fetchNext(loop, tenure, lanes, signal)
      next?.catch(() => {})
      lanes.start(batches)
      await lanes.settle(next === undefined ? patienceMs : backlogPatienceMs)
      lanes.check()
      watch.turn()
    }
  } finally {
    over.abort()
    await lanes.end()
    await watch.end()
    await commitLast(loop, tenure)
  }
}

/** Also after a revocation or a failure, so that the next owner finds nothing open. */
async function commitLast(loop: FoldLoop, tenure: Tenure): Promise<void> {
  await announce(loop, tenure, [], AbortSignal.timeout(lastCommitMs)).catch(error => {
    loop.folder.log.debug('what was done last is not committed', { reason: String(error) })
  })
}

function advance(tenure: Tenure, batches: readonly Batch[]): void {
  for (const { topic, partition, end, reached } of batches.flatMap(({ slices }) => slices)) {
    const owned = tenure.owned.get(partitionKey(topic, partition))!
    owned.fetchFrom = end
    owned.reached = reached
  }
}

interface Attempting {
  readonly batch: Batch
  fallBehind(): void
}

/** A failed insert has an unknown outcome, so every further attempt looks first. Gives up only when the tenure is over. */
async function foldUntilKnown(
  loop: FoldLoop,
  tenure: Tenure,
  { batch, fallBehind }: Attempting,
  signal: AbortSignal,
): Promise<void> {
  const { folder, pulse } = loop
  const attempt = async (count: number) => {
    pulse.beat()
    folder.inserter.requireOwnership()
    if (count === 1) return foldBatch(folder, batch)
    fallBehind()
    const server = await serverLifetime(folder.inserter.clickhouse)
    if (server !== tenure.server) throw restarted()
    const { certain, lasts } = await recoverBatch(folder, batch, { server, sameServer: true, isPast: false })
    if (!certain) await markUncertain(folder, 'an insert had failed in part')
    return lasts
  }
  markDone(
    tenure,
    batch,
    await retry(attempt, {
      ...{ what: 'fold a batch', signal, log: folder.log, failures: folder.failures },
      ...{ firstMs: 50, mostMs: 5000 },
    }),
  )
}

function markDone(tenure: Tenure, { slices }: Batch, lasts: LastRecords): void {
  for (const { topic, partition, end: offset, reached } of slices) {
    const key = partitionKey(topic, partition)
    const owned = tenure.owned.get(key)!
    owned.last = lasts.get(key) ?? owned.last
    owned.folded = { ...owned.folded, offset, reached, last: owned.last?.offset ?? -1 }
    owned.isNews = true
  }
}
