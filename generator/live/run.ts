// generator/live/run: life goes on in the shop, at a given rate of row changes.

import { type Client, query, withClient } from '../../postgres/client/client.ts'
import { inTransaction } from '../../postgres/client/transaction.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { retry } from '../../runtime/retry.ts'
import { execute } from '../database/execute.ts'
import { loadSituation, ReservedIds } from '../database/shop-state.ts'
import type { Operation } from '../shop/operation.ts'
import type { Scenario } from '../shop/scenario.ts'
import { ShopSimulation } from '../shop/shop-simulation.ts'
import type { Control, Totals } from './run-control.ts'

export interface GenerateOptions {
  readonly url: string
  /** With the same seed, rate and shop, what happens is the same. */
  readonly seed: number
  /** Sets the rate, pauses, starts scenarios. */
  readonly control: Control
  /** Begins at once. */
  readonly scenario?: Scenario
  readonly log: Log
  /** Ends the run after the transaction that is under way. */
  readonly signal: AbortSignal
  /** Told about once a second. */
  onTick?(stats: GeneratorStats): void
}

interface GeneratorStats extends Totals {
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
 * Runs until the signal; a Postgres that is away is waited for, and its state read anew. A scenario that is under way at the
 * end is ended. Each new order is logged once it is committed.
 * @returns the row changes known to be committed: a commit whose answer was lost is not among them
 * @throws {MillraceError} SOURCE_EMPTY, NOT_FOUND for the scenario, POSTGRES_* unless trying again may help
 */
export async function generate(options: GenerateOptions): Promise<Totals> {
  const { url, control, log, signal } = options
  const kept: Kept = { unsettled: [] }
  try {
    await retry(() => withClient(url, client => live(client, options, kept)), { what: 'change the shop', signal, log })
  } catch (error) {
    if (!signal.aborted || error instanceof MillraceError) throw error
  } finally {
    control.attach(undefined)
  }
  return control.totals
}

/** What outlives a lost connection, beside the scenario, which the control keeps. */
interface Kept {
  /** Orders of the transaction that is under way. */
  unsettled: readonly number[]
}

async function live(client: Client, options: GenerateOptions, kept: Kept): Promise<void> {
  const { seed, control, scenario, log, signal } = options
  const { pace } = control
  await settle(client, options, kept)
  const ids = new ReservedIds()
  const simulation = new ShopSimulation(seed, await loadSituation(client), ids)
  if (control.unfinished !== undefined) simulation.resume(control.unfinished)
  else if (scenario !== undefined) simulation.begin(scenario, new Date())
  control.attach(simulation)
  log.info('life in the shop goes on', { rate: pace.perSecond, openOrders: simulation.openOrders })
  const tick = ticker(options)
  const turn = async (rows: number) => {
    const done: { changes: number; orders: number[] } = { changes: 0, orders: [] }
    await inTransaction(client, async () => {
      for (let batches = 0; batches === 0 || (pace.behind && batches < mostBatchesPerTransaction); batches++) {
        await ids.reserve(client, rows + largestOperation)
        const operations = simulation.batch(rows, new Date())
        done.orders.push(...ordersOf(operations))
        kept.unsettled = done.orders
        // Until the commit, a scenario that has ended may have to end once more.
        control.unfinished = simulation.unfinished ?? control.unfinished
        const changes = await execute(client, operations)
        pace.done(changes, simulation.effects?.pace)
        done.changes += changes
      }
    })
    control.unfinished = simulation.unfinished
    count(options, kept, done)
    tick()
    return done.changes
  }
  try {
    while (await pace.turn(signal)) await turn(rowsPerBatch(pace.perSecond * (simulation.effects?.pace ?? 1)))
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

/** The answer of the last commit may have been lost with the connection: what it had created is looked up. */
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

/** Tells the rate about once a second. */
function ticker({ control, onTick }: GenerateOptions): () => void {
  let told = { at: performance.now(), changes: control.totals.changes }
  return () => {
    const now = performance.now()
    if (now - told.at < 1000) return
    control.perSecond = ((control.totals.changes - told.changes) * 1000) / (now - told.at)
    told = { at: now, changes: control.totals.changes }
    onTick?.({ ...control.totals, perSecond: control.perSecond })
  }
}
