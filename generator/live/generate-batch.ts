// generator/live/generate-batch: creates a given number of orders or visits, and nothing else.

import { type Client, withClient } from '../../postgres/client/client.ts'
import { inTransaction } from '../../postgres/client/transaction.ts'
import type { Log } from '../../runtime/log.ts'
import { loadShopState, ReservedIds } from '../database/shop-state.ts'
import { execute } from '../database/statements.ts'
import { ShopSimulation } from '../shop/shop-simulation.ts'

export interface OnceOptions {
  readonly url: string
  readonly kind: 'order' | 'visit'
  readonly count: number
  /** The same seed and shop create the same rows. */
  readonly seed: number
  /** For the log: the caller. */
  readonly from: 'command' | 'schedule'
  readonly log: Log
  /** Stops after the current transaction. */
  readonly signal: AbortSignal
}

export interface OnceResult {
  readonly orders: number
  readonly visits: number
  /** Row changes. */
  readonly changes: number
}

const perTransaction = 500
/** Lines of the largest possible order. */
const mostLines = 6

/** Logs each new order once it is committed. @throws {MillraceError} SOURCE_EMPTY, POSTGRES_* */
export async function generateOnce({ url, kind, count, seed, from, log, signal }: OnceOptions): Promise<OnceResult> {
  const made = { orders: 0, visits: 0, changes: 0 }
  await withClient(url, async client => {
    const ids = new ReservedIds()
    const simulation = new ShopSimulation(seed, await loadShopState(client, { orders: false }), ids)
    for (let left = count; left > 0 && !signal.aborted; left -= perTransaction) {
      const { changes, orders, visits } = await make(client, {
        simulation,
        ids,
        kind,
        count: Math.min(left, perTransaction),
      })
      for (const order of orders) log.info('order created', { order, from })
      made.orders += orders.length
      made.visits += visits
      made.changes += changes
    }
  })
  log.info('created', { ...made, from })
  return made
}

interface Part {
  readonly simulation: ShopSimulation
  readonly ids: ReservedIds
  readonly kind: OnceOptions['kind']
  readonly count: number
}

async function make(client: Client, { simulation, ids, kind, count }: Part) {
  return inTransaction(client, async () => {
    await ids.reserve(client, kind === 'order' ? count * mostLines : 0)
    const operations = simulation.make(kind, count, new Date())
    const changes = await execute(client, operations)
    const orders = operations.flatMap(operation => (operation.kind === 'order' ? [operation.id] : []))
    const visits = operations.filter(
      each => each.kind === 'visit' || (each.kind === 'order' && each.visit !== undefined),
    )
    return { changes, orders, visits: visits.length }
  })
}
