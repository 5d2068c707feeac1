// generator/history: the past of the shop: customers and orders, each order as far as it has come by the end.
// May know: generator/{basket,calendar,copy,person,random,reference,seed}. Pure: rows out, nothing executed.

import { type Line, makeLines, makeSale } from './basket.ts'
import { orderTimes, type Span } from './calendar.ts'
import type { Cell } from './copy.ts'
import { makeCustomer } from './person.ts'
import { Random } from './random.ts'
import type { Reference } from './reference.ts'
import { money } from './seed.ts'

const hour = 3_600_000
const year = 365.25 * 24 * hour

const cancelledShare = 0.06
const returnedShare = 0.05
const priceRisePerYear = 0.03
/** Share of the customers that are there from the first day. */
const foundingShare = 0.15

export const orderColumns = [
  'order_id',
  'customer_id',
  'shop_id',
  'employee_id',
  'sales_territory_id',
  'traffic_source_id',
  'status',
  'ordered_at',
  'paid_at',
  'shipped_at',
  'delivered_at',
  'cancelled_at',
  'returned_at',
  'updated_at',
] as const

export const itemColumns = ['order_item_id', 'order_id', 'product_id', 'quantity', 'price', 'cost_price'] as const

/** Who had registered by when; ids are places in these lists plus one. */
export interface Population {
  readonly registered: Float64Array
  /** Index of the home territory. */
  readonly home: Uint16Array
}

/** Rows of `count` customers in the order of their registration; fills `population` on the way. */
export function* customerRows(seed: number, population: Population, span: Span): Generator<readonly Cell[]> {
  const random = new Random(seed, 'customers')
  const count = population.home.length
  for (let index = 0; index < count; index++) {
    const share = Math.max(0, (index + 1) / count - foundingShare) / (1 - foundingShare)
    const at = Math.floor(span.from + share * (span.until - span.from - hour))
    const customer = makeCustomer(random, index + 1, new Date(at))
    population.registered[index] = at
    population.home[index] = customer.territory
    yield customer.cells
  }
}

export interface HistoricOrder {
  readonly order: readonly Cell[]
  readonly items: readonly (readonly Cell[])[]
}

export interface HistoryOptions extends Span {
  readonly seed: number
  readonly orders: number
  readonly reference: Reference
  readonly population: Population
}

/** Orders by time, ids from 1 on without gaps. */
export function* historicOrders(options: HistoryOptions): Generator<HistoricOrder> {
  const { seed, orders, reference, population, until } = options
  const random = new Random(seed, 'orders')
  let known = 0
  let orderId = 0
  let itemId = 0
  for (const at of orderTimes(random, orders, options)) {
    while (known < population.home.length && population.registered[known]! <= at) known += 1
    const customer = random.skewed(Math.max(1, known))
    const sale = makeSale(random, reference, population.home[customer]!)
    const lines = makeLines(random, reference.products, 1 - (priceRisePerYear * (until - at)) / year)
    const progress = progressOf(random, at, until)
    const references = [customer + 1, sale.shop, sale.employee, sale.territory, sale.trafficSource]
    orderId += 1
    yield {
      order: [orderId, ...references, progress.status, new Date(at).toISOString(), ...progress.times],
      items: lines.map(line => itemCells(++itemId, orderId, line)),
    }
  }
}

export function itemCells(id: number, order: number, line: Line): Cell[] {
  return [id, order, line.product, line.quantity, money(line.cents), money(line.costCents)]
}

interface Progress {
  readonly status: string
  /** paid_at, shipped_at, delivered_at, cancelled_at, returned_at, updated_at */
  readonly times: readonly (string | null)[]
}

/** How far an order of that time has come by the end: paid in hours, there in days, at times cancelled or sent back. */
function progressOf(random: Random, ordered: number, until: number): Progress {
  const paid = ordered + random.waiting(2 * hour)
  const shipped = paid + random.waiting(20 * hour)
  const delivered = shipped + random.waiting(55 * hour)
  const returned = random.chance(returnedShare) ? delivered + random.waiting(190 * hour) : Number.POSITIVE_INFINITY
  const patience = ordered + random.fraction() * (shipped - ordered)
  const cancelled = random.chance(cancelledShare) ? patience : Number.POSITIVE_INFINITY
  const text = (time: number) => (time < until && time < cancelled ? new Date(time).toISOString() : null)
  const steps = [text(paid), text(shipped), text(delivered), null, text(returned)]
  let status = ['created', 'paid', 'shipped', 'delivered', 'delivered', 'returned'][steps.findLastIndex(Boolean) + 1]!
  if (cancelled < until) {
    status = 'cancelled'
    steps[3] = new Date(cancelled).toISOString()
  }
  const updated = steps.reduce<string>((latest, time) => (time !== null && time > latest ? time : latest), '')
  return { status, times: [...steps, updated || new Date(ordered).toISOString()] }
}
