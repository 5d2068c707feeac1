// generator/shop/history: the customers and orders of the past, with each order's status at the
// end.
// Pure: returns rows and runs nothing.

import type { Cell } from '../../postgres/client/copy-in.ts'
import { type Line, makeLines, makeSale, returnChance } from './basket.ts'
import { orderTimes, type Span } from './calendar.ts'
import { makeCustomer, randomHome } from './person.ts'
import { PriceHistory } from './prices.ts'
import { Random } from './random.ts'
import type { Reference } from './reference.ts'
import { money } from './seed.ts'
import { Traffic, visitCells } from './visits.ts'

const hour = 3_600_000

const cancelledShare = 0.06
/** Share of the customers that registered before the first day. */
const foundingShare = 0.15
/** Share of the customers that moved from another territory after they registered. */
const movedShare = 0.08

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

/** Registration times. An id is the index in these lists plus one. */
export interface Population {
  readonly registered: Float64Array
  /** Time of the move to the current home; the time of registration if there was none. */
  readonly moved: Float64Array
  /** Index of the home territory before and after the move. */
  readonly earlier: Uint16Array
  readonly home: Uint16Array
}

export function emptyPopulation(count: number): Population {
  return {
    registered: new Float64Array(count),
    moved: new Float64Array(count),
    earlier: new Uint16Array(count),
    home: new Uint16Array(count),
  }
}

/** Rows of `count` customers in the order of their registration; fills `population` on the way. */
export function* customerRows(seed: number, population: Population, span: Span): Generator<readonly Cell[]> {
  const random = new Random(seed, 'customers')
  const count = population.home.length
  for (let index = 0; index < count; index++) {
    const share = Math.max(0, (index + 1) / count - foundingShare) / (1 - foundingShare)
    const at = Math.floor(span.from + share * (span.until - span.from - hour))
    const moved = random.chance(movedShare) ? Math.floor(at + random.fraction() * (span.until - at)) : at
    const customer = makeCustomer(random, index + 1, new Date(at), new Date(moved))
    population.registered[index] = at
    population.moved[index] = moved
    population.earlier[index] = randomHome(random).territory
    population.home[index] = customer.territory
    yield customer.cells
  }
}

export interface HistoricOrder {
  readonly order: readonly Cell[]
  readonly items: readonly (readonly Cell[])[]
  /** In the order of `visitColumns`: the visit of the order, and visits without an order. */
  readonly visits: readonly (readonly Cell[])[]
}

export interface HistoryOptions extends Span {
  readonly seed: number
  readonly orders: number
  /** Average visits per order. */
  readonly visitsPerOrder: number
  readonly reference: Reference
  readonly population: Population
}

/** Orders by time, ids from 1 on without gaps. */
export function* historicOrders(options: HistoryOptions): Generator<HistoricOrder> {
  const { seed, orders, visitsPerOrder, reference, population, until } = options
  const random = new Random(seed, 'orders')
  const traffic = new Traffic(new Random(seed, 'visits'), reference, visitsPerOrder)
  const prices = new PriceHistory(seed, options)
  let known = 0
  let orderId = 0
  let itemId = 0
  const someone = () => random.skewed(Math.max(1, known))
  for (const at of orderTimes(random, orders, options)) {
    while (known < population.home.length && population.registered[known]! <= at) known += 1
    const customer = someone()
    const homes = at < population.moved[customer]! ? population.earlier : population.home
    const sale = makeSale(random, reference, homes[customer]!, at)
    const lines = makeLines(random, reference.products, product => prices.level(product, at))
    const progress = progressOf(random, { at, until, returnShare: returnChance(lines) })
    const references = [customer + 1, sale.shop, sale.employee, sale.territory, sale.trafficSource]
    const visits = [...traffic.idleAround(at, until, () => someone() + 1)]
    if (sale.trafficSource !== null) {
      const earliest = Math.min(at, population.registered[customer]!)
      visits.unshift(traffic.purchase({ customer: customer + 1, source: sale.trafficSource, at, earliest }))
    }
    orderId += 1
    yield {
      order: [orderId, ...references, progress.status, new Date(at).toISOString(), ...progress.times],
      items: lines.map(line => itemCells(++itemId, orderId, line)),
      visits: visits.map(visitCells),
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

interface Ordered {
  readonly at: number
  readonly until: number
  /** Chance that the delivered order is returned. */
  readonly returnShare: number
}

/**
 * The status of an order at the end: paid after hours, delivered after days, sometimes cancelled or
 * returned.
 */
function progressOf(random: Random, { at: ordered, until, returnShare }: Ordered): Progress {
  const paid = ordered + random.waiting(2 * hour)
  const shipped = paid + random.waiting(20 * hour)
  const delivered = shipped + random.waiting(55 * hour)
  const returned = random.chance(returnShare) ? delivered + random.waiting(190 * hour) : Number.POSITIVE_INFINITY
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
