// generator/run: life goes on in the shop, at a given rate of row changes.
// May know: postgres/connect, runtime, generator/{life,pace,situation,statements,transaction}.

import { type Client, withClient } from '../postgres/connect.ts'
import { postgresFailure } from '../postgres/failure.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { retry } from '../runtime/retry.ts'
import { Life } from './life.ts'
import { Pace } from './pace.ts'
import { loadSituation, ReservedIds } from './situation.ts'
import { type Statement, statementsOf } from './statements.ts'
import { inTransaction } from './transaction.ts'

export interface GenerateOptions {
  readonly url: string
  /** Row changes per second. */
  readonly rate: number
  /** With the same seed, rate and shop, what happens is the same. */
  readonly seed: number
  readonly log: Log
  /** Ends the run after the transaction that is under way. */
  readonly signal: AbortSignal
  /** Told about once a second. */
  onTick?(stats: GeneratorStats): void
}

export interface GeneratorStats {
  /** Row changes committed since the start. */
  readonly changes: number
  /** New orders among them. */
  readonly orders: number
  /** Row changes per second since the last time. */
  readonly perSecond: number
}

/** Each batch is a transaction, unless Postgres is too slow for that: then several share one. */
const batchesPerSecond = 50
const mostRowsPerBatch = 1_000
const mostBatchesPerTransaction = 10
/** Rows that the last operation of a batch may add to it. */
const largestOperation = 10

/**
 * Runs until the signal; a Postgres that is away is waited for, and its state read anew.
 * @returns the row changes known to be committed: a commit whose answer was lost is not among them
 * @throws {MillraceError} USAGE for a rate that is none, SOURCE_EMPTY, POSTGRES_* unless trying again may help
 */
export async function generate(options: GenerateOptions): Promise<{ changes: number }> {
  const { url, rate, log, signal } = options
  if (!(rate > 0 && Number.isFinite(rate))) {
    throw new MillraceError('USAGE', {
      what: `the rate must be a number of row changes per second above 0, and is ${rate}`,
      next: 'give for example --rate 1000',
    })
  }
  const totals = { changes: 0, orders: 0 }
  try {
    await retry(() => withClient(url, client => live(client, options, totals)), {
      what: 'change the shop',
      signal,
      log,
    })
  } catch (error) {
    if (!signal.aborted || error instanceof MillraceError) throw error
  }
  return { changes: totals.changes }
}

async function live(client: Client, options: GenerateOptions, totals: { changes: number; orders: number }) {
  const { rate, seed, log, signal, onTick } = options
  const ids = new ReservedIds()
  const life = new Life(seed, await loadSituation(client), ids)
  const rows = Math.min(mostRowsPerBatch, Math.max(1, Math.round(rate / batchesPerSecond)))
  const pace = new Pace(rate, signal)
  let told = { at: performance.now(), changes: totals.changes }
  log.info('life in the shop goes on', { rate, openOrders: life.openOrders })
  while (await pace.turn()) {
    const done = { changes: 0, orders: 0 }
    await inTransaction(client, async () => {
      for (let batches = 0; batches === 0 || (pace.behind && batches < mostBatchesPerTransaction); batches++) {
        await ids.reserve(client, rows + largestOperation)
        const operations = life.batch(rows, new Date())
        const changes = await execute(client, statementsOf(operations))
        pace.done(changes)
        done.changes += changes
        done.orders += operations.filter(({ kind }) => kind === 'order').length
      }
    })
    totals.changes += done.changes
    totals.orders += done.orders
    const now = performance.now()
    if (now - told.at < 1000) continue
    onTick?.({ ...totals, perSecond: ((totals.changes - told.changes) * 1000) / (now - told.at) })
    told = { at: now, changes: totals.changes }
  }
}

/** Gives the number of rows that the statements changed. */
async function execute(client: Client, statements: readonly Statement[]): Promise<number> {
  let changes = 0
  for (const { name, text, values } of statements) {
    try {
      const { rowCount } = await client.query({ name, text, values: [...values] })
      changes += rowCount ?? 0
    } catch (error) {
      throw postgresFailure(error, `the generator, to ${name}`)
    }
  }
  return changes
}
