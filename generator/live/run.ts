// generator/live/run: runs the simulation of the shop at a given rate of row changes.

import { type Client, query, withClient } from '../../postgres/client/client.ts'
import { inTransaction } from '../../postgres/client/transaction.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { retry } from '../../runtime/retry.ts'
import { loadShopState, ReservedIds } from '../database/shop-state.ts'
import { execute } from '../database/statements.ts'
import type { Operation } from '../shop/operation.ts'
import type { Scenario } from '../shop/scenario.ts'
import { ShopSimulation } from '../shop/shop-simulation.ts'
import type { Control, Totals } from './run-control.ts'

export interface GenerateOptions {
  readonly url: string
  /** The same seed, rate and shop make the same changes. */
  readonly seed: number
  /** Sets the rate, pauses, and starts scenarios. */
  readonly control: Control
  /** A scenario that begins immediately. */
  readonly scenario?: Scenario
  readonly log: Log
  /** Ends the run after the current transaction. */
  readonly signal: AbortSignal
  /** Called about once per second. */
  onTick?(stats: GeneratorStats): void
}

interface GeneratorStats extends Totals {
  /** Row changes per second since the last call. */
  readonly perSecond: number
}

/** Each batch is a transaction. If Postgres is too slow for that, several batches share one. */
const batchesPerSecond = 50
const mostRowsPerBatch = 1_000
const mostBatchesPerTransaction = 10
/** Rows by which the last operation of a batch may exceed its size. */
const largestOperation = 10

/**
 * Runs until the signal. Waits for an unreachable Postgres and then reads the shop's state again.
 * Ends a running scenario at the end. Logs each new order once it is committed.
 * @returns the row changes known to be committed, without commits whose answer was lost
 * @throws {MillraceError} SOURCE_EMPTY, NOT_FOUND for the scenario, POSTGRES_* if a retry cannot
 *   help
 */
export async function generate(options: GenerateOptions): Promise<Totals> {
  const { url, control, log, signal } = options
  const kept: Kept = { unsettled: [] }
  try {
    await retry(() => withClient(url, client => simulate(client, options, kept)), {
      what: 'change the shop',
      signal,
      log,
    })
  } catch (error) {
    if (!signal.aborted || error instanceof MillraceError) throw error
  } finally {
    control.attach(undefined)
  }
  return control.totals
}

/** The state that outlives a lost connection. The control keeps the scenario. */
interface Kept {
  /** Orders of the current transaction. */
  unsettled: readonly number[]
}

async function simulate(client: Client, options: GenerateOptions, kept: Kept): Promise<void> {
  const { seed, control, scenario, log, signal } = options
  const { limiter } = control
  await settle(client, options, kept)
  const ids = new ReservedIds()
  const simulation = new ShopSimulation(seed, await loadShopState(client), ids)
  if (control.unfinished !== undefined) simulation.resume(control.unfinished)
  else if (scenario !== undefined) simulation.begin(scenario, new Date())
  control.attach(simulation)
  log.info('the shop is simulated', { rate: limiter.perSecond, openOrders: simulation.openOrders })
  const tick = ticker(options)
  const turn = async (rows: number) => {
    const done: { changes: number; orders: number[] } = { changes: 0, orders: [] }
    await inTransaction(client, async () => {
      for (let batches = 0; batches === 0 || (limiter.behind && batches < mostBatchesPerTransaction); batches++) {
        await ids.reserve(client, rows + largestOperation)
        const operations = simulation.batch(rows, new Date())
        done.orders.push(...ordersOf(operations))
        kept.unsettled = done.orders
        // If the commit fails, a scenario that has ended must end again.
        control.unfinished = simulation.unfinished ?? control.unfinished
        const changes = await execute(client, operations)
        limiter.done(changes, simulation.effects?.rateFactor)
        done.changes += changes
      }
    })
    control.unfinished = simulation.unfinished
    count(options, kept, done)
    tick()
    return done.changes
  }
  try {
    while (await limiter.turn(signal))
      await turn(rowsPerBatch(limiter.perSecond * (simulation.effects?.rateFactor ?? 1)))
    simulation.end(new Date())
    while ((await turn(0)) > 0);
  } finally {
    control.attach(undefined)
  }
}

function rowsPerBatch(perSecond: number): number {
  return Math.min(mostRowsPerBatch, Math.max(1, Math.round(perSecond / batchesPerSecond)))
}

function ordersOf(operations: readonly Operation[]): number[] {
  return operations.flatMap(operation => (operation.kind === 'order' ? [operation.id] : []))
}

/** Looks up the orders of the last commit, whose answer may have been lost with the connection. */
async function settle(client: Client, options: GenerateOptions, kept: Kept): Promise<void> {
  if (kept.unsettled.length === 0) return
  const found = await query<{ id: string }>(
    client,
    'SELECT order_id AS id FROM shop.orders WHERE order_id = ANY ($1::bigint[]) ORDER BY 1',
    [kept.unsettled],
  )
  count(options, kept, { changes: 0, orders: found.map(({ id }) => Number(id)) })
}

function count(
  { control, log }: GenerateOptions,
  kept: Kept,
  done: { changes: number; orders: readonly number[] },
): void {
  kept.unsettled = []
  for (const order of done.orders) log.info('order created', { order, from: 'life' })
  const { changes, orders } = control.totals
  control.totals = { changes: changes + done.changes, orders: orders + done.orders.length }
}

/** Reports the rate about once per second. */
function ticker({ control, onTick }: GenerateOptions): () => void {
  let last = { at: performance.now(), changes: control.totals.changes }
  return () => {
    const now = performance.now()
    if (now - last.at < 1000) return
    control.perSecond = ((control.totals.changes - last.changes) * 1000) / (now - last.at)
    last = { at: now, changes: control.totals.changes }
    onTick?.({ ...control.totals, perSecond: control.perSecond })
  }
}
