// generator/api/orders: creates and changes single orders for the API.

import { createHash } from 'node:crypto'
import { type Client, query } from '../../postgres/client/client.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Pool } from '../database/pool.ts'
import { execute } from '../database/statements.ts'
import { nextStatus, type Status } from '../shop/operation.ts'
import { Random } from '../shop/random.ts'
import { draftOrder } from './order-draft.ts'
import { type NewOrder, type Order, orderJson } from './order-schema.ts'

/** For the log: the id of the request. */
interface Origin {
  readonly request: string
}

interface Doubt extends Origin {
  readonly order: number
}

/** The steps that a request may ask for. */
export type Step = 'advance' | 'cancel' | 'return'

const keptForHours = 24

export class Orders {
  readonly #pool: Pool
  readonly #log: Log
  readonly #random: Random
  /** Orders of a transaction whose result is unknown, because the connection was lost. */
  #doubtful: Doubt[] = []

  constructor(pool: Pool, seed: number, log: Log) {
    this.#pool = pool
    this.#log = log
    this.#random = new Random(seed, 'orders by hand')
  }

  /**
   * Creates an order. Omitted values are drawn. A repeated key and request return the same order.
   * @throws {MillraceError} NOT_FOUND for rows it refers to, KEY_REUSED, SOURCE_EMPTY, POSTGRES_*
   */
  async create(given: NewOrder, key: string | undefined, origin: Origin): Promise<{ order: Order; created: boolean }> {
    const doubt: { order?: number } = {}
    try {
      const result = await this.#transaction(async client => {
        const known = key === undefined ? undefined : await recall(client, key, given)
        if (known !== undefined) return { order: await readOrder(client, known), created: false }
        const operation = await draftOrder(client, given, this.#random)
        doubt.order = operation.id
        await execute(client, [operation])
        if (key !== undefined) await remember(client, { key, given, order: operation.id })
        return { order: await readOrder(client, operation.id), created: true }
      })
      if (result.created) this.#tell({ order: result.order.order_id, ...origin })
      return result
    } catch (error) {
      const unknown = error instanceof MillraceError && error.code === 'POSTGRES_UNREACHABLE'
      if (unknown && doubt.order !== undefined) this.#doubtful.push({ order: doubt.order, ...origin })
      throw error
    }
  }

  /** @throws {MillraceError} NOT_FOUND, POSTGRES_* */
  async get(id: number): Promise<Order> {
    return this.#transaction(client => readOrder(client, id))
  }

  /** The latest orders, or those before a given id. @throws {MillraceError} POSTGRES_* */
  async list(limit: number, before = Number.MAX_SAFE_INTEGER): Promise<Order[]> {
    const rows = await this.#transaction(client =>
      query<{ order: Order }>(
        client,
        `SELECT ${orderJson} AS order FROM shop.orders o WHERE o.order_id < $1 ORDER BY o.order_id DESC LIMIT $2`,
        [before, limit],
      ),
    )
    return rows.map(({ order }) => order)
  }

  /** @throws {MillraceError} NOT_FOUND, ORDER_STATUS, POSTGRES_* */
  async step(id: number, step: Step): Promise<Order> {
    return this.#transaction(async client => {
      const [found] = await query<{ status: Status }>(
        client,
        'SELECT status FROM shop.orders WHERE order_id = $1 FOR UPDATE',
        [id],
      )
      if (found === undefined) throw missing(id)
      const to = targetOf(id, found.status, step)
      await execute(client, [{ kind: 'step', order: id, from: found.status, to, at: new Date() }])
      return readOrder(client, id)
    })
  }

  /** Looks up orders whose transaction has an unknown result, and logs those that exist. */
  async close(): Promise<void> {
    if (this.#doubtful.length > 0) await this.#transaction(async () => {}).catch(() => {})
  }

  async #transaction<Result>(work: (client: Client) => Promise<Result>): Promise<Result> {
    return this.#pool.transaction(async client => {
      await this.#settle(client)
      return work(client)
    })
  }

  async #settle(client: Client): Promise<void> {
    if (this.#doubtful.length === 0) return
    const doubts = this.#doubtful
    const rows = await query<{ id: string }>(
      client,
      'SELECT order_id AS id FROM shop.orders WHERE order_id = ANY ($1::bigint[])',
      [doubts.map(({ order }) => order)],
    )
    const found = new Set(rows.map(({ id }) => Number(id)))
    this.#doubtful = this.#doubtful.filter(doubt => !doubts.includes(doubt))
    for (const doubt of doubts) if (found.has(doubt.order)) this.#tell(doubt)
  }

  #tell({ order, request }: Doubt): void {
    this.#log.info('order created', { order, from: 'api', request })
  }
}

function targetOf(id: number, status: Status, step: Step): Status {
  const targets: Record<Step, Partial<Record<Status, Status>>> = {
    advance: nextStatus,
    cancel: { created: 'cancelled', paid: 'cancelled' },
    return: { delivered: 'returned' },
  }
  const to = targets[step][status]
  if (to !== undefined) return to
  const from = Object.keys(targets[step]).join(', ')
  throw new MillraceError('ORDER_STATUS', {
    what: `order ${id} is ${status}, and only an order that is ${from} can ${step}`,
    next: 'read the order for its present status',
  })
}

async function readOrder(client: Client, id: number): Promise<Order> {
  const [row] = await query<{ order: Order }>(
    client,
    `SELECT ${orderJson} AS order FROM shop.orders o WHERE order_id = $1`,
    [id],
  )
  if (row === undefined) throw missing(id)
  return row.order
}

function missing(id: number): MillraceError {
  return new MillraceError('NOT_FOUND', {
    what: `there is no order ${id}`,
    next: 'list the orders to see their ids',
  })
}

/** The order of this key. Requests with the same key wait for each other. */
async function recall(client: Client, key: string, given: NewOrder): Promise<number | undefined> {
  await query(client, 'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`millrace: ${key}`])
  const [known] = await query<{ request: string; order: string }>(
    client,
    'SELECT request, order_id AS order FROM generator.idempotency_keys WHERE key = $1',
    [key],
  )
  if (known === undefined) return undefined
  if (known.request === digest(given)) return Number(known.order)
  throw new MillraceError('KEY_REUSED', {
    what: 'this Idempotency-Key was used for another order',
    next: 'use a new key for each order, and the same key only to repeat a request',
  })
}

async function remember(
  client: Client,
  { key, given, order }: { key: string; given: NewOrder; order: number },
): Promise<void> {
  await query(
    client,
    `DELETE FROM generator.idempotency_keys WHERE created_at < now() - interval '${keptForHours} hours'`,
  )
  await query(client, 'INSERT INTO generator.idempotency_keys (key, request, order_id) VALUES ($1, $2, $3)', [
    key,
    digest(given),
    order,
  ])
}

function digest(given: NewOrder): string {
  return createHash('sha256').update(JSON.stringify(given)).digest('hex')
}
