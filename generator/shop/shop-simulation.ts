// generator/shop/shop-simulation: the next operations of the shop, from its state and its seed.
// Pure: reads no clock and runs nothing.

import { ActiveScenario } from './active-scenario.ts'
import { makeLines, makeSale, returnChance, type Sale } from './basket.ts'
import { BoundedPool } from './bounded-pool.ts'
import { CatalogState } from './catalog-state.ts'
import { changesOf, type IdSource, nextStatus, type Operation, type Status } from './operation.ts'
import { makeCustomer, randomHome } from './person.ts'
import { cumulate, Random } from './random.ts'
import type { Reference } from './reference.ts'
import type { Scenario } from './scenario.ts'
import { type ScenarioEffects, scenarioEffects } from './scenario-effects.ts'
import { StaffAndPrices } from './staff-and-prices.ts'
import { Traffic } from './visits.ts'

export interface KnownOrder {
  readonly id: number
  readonly status: Status
  /** Chance that the delivered order is returned. */
  readonly returnShare: number
  readonly items: readonly { readonly id: number; readonly quantity: number }[]
}

export interface KnownCustomer {
  readonly id: number
  /** Index of the home territory. */
  readonly home: number
}

/** The state of the shop at the start of the simulation. */
export interface ShopState {
  readonly reference: Reference
  readonly customers: readonly KnownCustomer[]
  /** Orders that may still be paid, shipped or delivered. */
  readonly open: readonly KnownOrder[]
  /** Delivered orders, which may be returned or corrected. */
  readonly settled: readonly KnownOrder[]
}

/** Maximum of orders and of customers in memory. At the limit, orders are finished first. */
const memory = { open: 20_000, settled: 20_000, customers: 50_000 }

/**
 * Relative frequency of each event. An order takes nearly three steps, so the number of open orders
 * is stable.
 */
const eventWeights = {
  order: 240,
  step: 680,
  visit: 96,
  quantity: 30,
  return: 10,
  removal: 5,
  correction: 1,
  price: 12,
  registration: 14,
  move: 7,
  transfer: 1,
  hiring: 0.3,
  departure: 0.3,
} as const
type EventKind = keyof typeof eventWeights
const eventKinds = Object.keys(eventWeights) as EventKind[]
const usualTotals = cumulate(Object.values(eventWeights))
const visitsPerOrder = 1

const cancelledShare = 0.03
/** Orders with at least this return chance are always returned when drawn. */
const highReturnShare = 0.1
/** Share of the online orders and visits that come from a campaign. */
const campaignShare = 0.85

export class ShopSimulation {
  readonly #random: Random
  readonly #catalog: CatalogState
  readonly #traffic: Traffic
  readonly #staff: StaffAndPrices
  readonly #ids: IdSource
  readonly #customers: BoundedPool<KnownCustomer>
  readonly #open: BoundedPool<KnownOrder>
  readonly #settled: BoundedPool<KnownOrder>
  /**
   * Rows that the batch has changed. It changes each row once, so the order of statements is free.
   */
  readonly #touched = new Set<string>()
  readonly #scenario: ActiveScenario
  #weightTotals = usualTotals

  constructor(seed: number, { reference, customers, open, settled }: ShopState, ids: IdSource) {
    this.#random = new Random(seed, 'life')
    this.#catalog = new CatalogState(reference)
    this.#scenario = new ActiveScenario(this.#catalog)
    this.#traffic = new Traffic(this.#random, this.#catalog, visitsPerOrder)
    this.#ids = ids
    const touch = (row: string) => this.#touch(row)
    this.#staff = new StaffAndPrices({ random: this.#random, catalog: this.#catalog, ids, touch })
    this.#customers = new BoundedPool(customers, memory.customers)
    this.#open = new BoundedPool(open, memory.open)
    this.#settled = new BoundedPool(settled, memory.settled)
  }

  get openOrders(): number {
    return this.#open.size
  }

  /** The running scenario. */
  get effects(): ScenarioEffects | undefined {
    return this.#scenario.effects
  }

  /** The scenario that a new simulation must continue if the last changes of this one are lost. */
  get unfinished(): ScenarioEffects | undefined {
    return this.#scenario.unfinished
  }

  /** Starts a scenario; a running one ends first. @throws {MillraceError} NOT_FOUND */
  begin(scenario: Scenario, at: Date): ScenarioEffects {
    const effects = scenarioEffects(scenario, { random: this.#random, catalog: this.#catalog, at })
    this.end(at)
    this.resume(effects)
    return effects
  }

  /** Continues a scenario of an earlier simulation. */
  resume(effects: ScenarioEffects): void {
    this.#scenario.begin(effects)
    this.#weightTotals = cumulate(eventKinds.map(name => eventWeights[name] * (effects.weights[name] ?? 1)))
  }

  /** Ends the scenario. The next batch contains the operations of its end. */
  end(at: Date): void {
    this.#scenario.end(at)
    this.#weightTotals = usualTotals
  }

  /**
   * Operations with at least `rows` row changes, no row twice. 0 yields only those of a scenario.
   */
  batch(rows: number, at: Date): Operation[] {
    this.#touched.clear()
    if (this.effects !== undefined && at.getTime() >= this.effects.until) this.end(at)
    const operations: Operation[] = this.#scenario.take(row => this.#touch(row))
    for (let changes = operations.length; changes < rows; ) {
      const operation = this.#next(at)
      operations.push(operation)
      changes += changesOf(operation)
    }
    return operations
  }

  /** `count` orders or visits. If there are no customers, customers register first. */
  make(kind: 'order' | 'visit', count: number, at: Date): Operation[] {
    const one = () => (kind === 'visit' ? this.#visit(at) : this.#order(at))
    return Array.from({ length: count }, () => (this.#customers.size === 0 ? this.#register(at) : one()))
  }

  /**
   * If the drawn event is not possible, a customer registers or orders, which is always possible.
   */
  #next(at: Date): Operation {
    const kind = eventKinds[this.#random.weighted(this.#weightTotals)]!
    return this.#perform(kind, at) ?? (this.#customers.size === 0 ? this.#register(at) : this.#order(at))
  }

  #perform(kind: EventKind, at: Date): Operation | undefined {
    switch (kind) {
      case 'order':
        return this.#open.full || this.#customers.size === 0 ? this.#step(at) : this.#order(at)
      case 'step':
        return this.#step(at)
      case 'visit':
        return this.#customers.size === 0 ? undefined : this.#visit(at)
      case 'quantity':
        return this.#quantity()
      case 'return':
        return this.#return(at)
      case 'removal':
        return this.#removal()
      case 'correction':
        return this.#correction(at)
      case 'price':
        return this.#staff.price(at)
      case 'registration':
        return this.#register(at)
      case 'move':
        return this.#move(at)
      case 'transfer':
        return this.#staff.transfer(at)
      case 'hiring':
        return this.#staff.hire(at)
      case 'departure':
        return this.#staff.leave(at)
    }
  }

  #order(at: Date): Operation {
    const customer = this.#customers.at(this.#random.skewed(this.#customers.size))
    const sale = this.#campaigned(makeSale(this.#random, this.#catalog, customer.home, at.getTime()))
    const lines = makeLines(this.#random, this.effects?.products ?? this.#catalog.products)
    const id = this.#ids.next('order')
    const numbered = lines.map(line => ({ ...line, id: this.#ids.next('item') }))
    this.#open.add({ id, status: 'created', items: numbered, returnShare: returnChance(lines) }, this.#random)
    this.#touched.add(`order ${id}`)
    const came = { customer: customer.id, source: sale.trafficSource, at: at.getTime(), earliest: 0 }
    const visit = came.source === null ? undefined : this.#traffic.purchase({ ...came, source: came.source })
    return { kind: 'order', id, customer: customer.id, sale, lines: numbered, visit, at }
  }

  /** During a campaign most online orders come from its source. */
  #campaigned(sale: Sale): Sale {
    const source = this.effects?.source
    if (source === undefined || sale.trafficSource === null || !this.#random.chance(campaignShare)) return sale
    return { ...sale, trafficSource: source }
  }

  #visit(at: Date): Operation {
    const customer = () => this.#customers.at(this.#random.skewed(this.#customers.size)).id
    const source = this.effects?.source
    const time = at.getTime()
    if (source === undefined || !this.#random.chance(campaignShare))
      return { kind: 'visit', visit: this.#traffic.idle(time, customer) }
    return { kind: 'visit', visit: this.#traffic.from(source, time, customer) }
  }

  #step(at: Date): Operation | undefined {
    const order = this.#take(this.#open)
    if (!order) return undefined
    const cancelled = order.status !== 'shipped' && this.#random.chance(cancelledShare)
    const to = cancelled ? 'cancelled' : nextStatus[order.status]!
    if (to === 'delivered') this.#settled.add({ ...order, status: to }, this.#random)
    else if (to !== 'cancelled') this.#open.add({ ...order, status: to }, this.#random)
    return { kind: 'step', order: order.id, from: order.status, to, at }
  }

  #return(at: Date): Operation | undefined {
    const order = this.#take(this.#settled, ({ returnShare }) => this.#random.chance(returnShare / highReturnShare))
    return order && { kind: 'step', order: order.id, from: 'delivered', to: 'returned', at }
  }

  #quantity(): Operation | undefined {
    const from = this.#random.chance(0.9) ? this.#open : this.#settled
    const order = this.#take(from)
    if (!order) return undefined
    const item = this.#random.pick(order.items)
    const quantity = item.quantity === 1 ? 2 : item.quantity + this.#random.pick([-1, 1])
    from.add({ ...order, items: order.items.map(each => (each === item ? { ...each, quantity } : each)) }, this.#random)
    return { kind: 'quantity', item: item.id, quantity }
  }

  #removal(): Operation | undefined {
    const order = this.#take(this.#random.chance(0.7) ? this.#open : this.#settled)
    return order && { kind: 'removal', order: order.id, items: order.items.length }
  }

  #correction(at: Date): Operation | undefined {
    const order = this.#take(this.#settled)
    if (!order) return undefined
    this.#settled.add(order, this.#random)
    const territory = this.#random.pick(this.#catalog.territories).id
    return { kind: 'correction', order: order.id, territory, days: this.#random.integer(0, 3), at }
  }

  #register(at: Date): Operation {
    const customer = makeCustomer(this.#random, this.#ids.next('customer'), at)
    this.#customers.add({ id: customer.id, home: customer.territory }, this.#random)
    this.#touched.add(`customer ${customer.id}`)
    return { kind: 'registration', customer }
  }

  #move(at: Date): Operation | undefined {
    if (this.#customers.size === 0) return undefined
    const index = this.#random.integer(0, this.#customers.size - 1)
    const { id } = this.#customers.at(index)
    if (!this.#touch(`customer ${id}`)) return undefined
    const { territory, city, country } = randomHome(this.#random)
    this.#customers.replace(index, { id, home: territory })
    return { kind: 'move', customer: id, city, country, at }
  }

  /** Takes a random order out; undefined if it is unsuitable or was changed by this batch. */
  #take(orders: BoundedPool<KnownOrder>, suits: (order: KnownOrder) => boolean = () => true): KnownOrder | undefined {
    if (orders.size === 0) return undefined
    const index = this.#random.integer(0, orders.size - 1)
    if (!suits(orders.at(index))) return undefined
    return this.#touch(`order ${orders.at(index).id}`) ? orders.remove(index) : undefined
  }

  #touch(row: string): boolean {
    if (this.#touched.has(row)) return false
    this.#touched.add(row)
    return true
  }
}
