// generator/life: what happens next in the shop: a function of its state and its seed.
// May know: generator/{basket,bounded,operation,person,random,reference}. Pure: no clock, nothing executed.

import { makeLines, makeSale } from './basket.ts'
import { Bounded } from './bounded.ts'
import { changesOf, type Operation, type Status } from './operation.ts'
import { makeCustomer, randomHome } from './person.ts'
import { cumulate, Random } from './random.ts'
import type { Reference } from './reference.ts'

export interface KnownOrder {
  readonly id: number
  readonly status: Status
  readonly items: readonly { readonly id: number; readonly quantity: number }[]
}

export interface KnownCustomer {
  readonly id: number
  /** Index of the home territory. */
  readonly home: number
}

/** What life knows of the shop when it begins. */
export interface Situation {
  readonly reference: Reference
  readonly customers: readonly KnownCustomer[]
  /** Orders that may still be paid, shipped or delivered. */
  readonly open: readonly KnownOrder[]
  /** Delivered orders, which may come back or be corrected. */
  readonly settled: readonly KnownOrder[]
}

/** Gives ids that nobody else will use. */
export interface IdSource {
  next(of: 'order' | 'item' | 'customer'): number
}

/** Most orders and customers that are remembered; beyond, orders are finished before new ones come. */
const memory = { open: 20_000, settled: 20_000, customers: 50_000 }

/** How often something happens. An order takes a bit less than three steps, so that their number stays level. */
const habits = {
  order: 240,
  step: 680,
  quantity: 30,
  return: 10,
  removal: 5,
  correction: 1,
  price: 12,
  registration: 14,
  move: 7,
  transfer: 1,
} as const
type Habit = keyof typeof habits
const habitNames = Object.keys(habits) as Habit[]
const habitTotals = cumulate(Object.values(habits))

const nextStatus: Partial<Record<Status, Status>> = { created: 'paid', paid: 'shipped', shipped: 'delivered' }
const cancelledShare = 0.03

export class Life {
  readonly #random: Random
  readonly #reference: Reference
  readonly #ids: IdSource
  readonly #customers: Bounded<KnownCustomer>
  readonly #open: Bounded<KnownOrder>
  readonly #settled: Bounded<KnownOrder>
  /** Rows that the batch has changed already: it changes each of them once, so that its statements may go in any order. */
  readonly #touched = new Set<string>()

  constructor(seed: number, { reference, customers, open, settled }: Situation, ids: IdSource) {
    this.#random = new Random(seed, 'life')
    this.#reference = { ...reference, products: reference.products.map(product => ({ ...product })) }
    this.#ids = ids
    this.#customers = new Bounded(customers, memory.customers)
    this.#open = new Bounded(open, memory.open)
    this.#settled = new Bounded(settled, memory.settled)
  }

  get openOrders(): number {
    return this.#open.size
  }

  /** Operations that together change at least so many rows, and no row twice. */
  batch(rows: number, at: Date): Operation[] {
    this.#touched.clear()
    const operations: Operation[] = []
    for (let changes = 0; changes < rows; ) {
      const operation = this.#next(at)
      operations.push(operation)
      changes += changesOf(operation)
    }
    return operations
  }

  /** Where what usually happens cannot, somebody registers or orders something, which always can. */
  #next(at: Date): Operation {
    const habit = habitNames[this.#random.weighted(habitTotals)]!
    return this.#perform(habit, at) ?? (this.#customers.size === 0 ? this.#register(at) : this.#order(at))
  }

  #perform(habit: Habit, at: Date): Operation | undefined {
    switch (habit) {
      case 'order':
        return this.#open.full || this.#customers.size === 0 ? this.#step(at) : this.#order(at)
      case 'step':
        return this.#step(at)
      case 'quantity':
        return this.#quantity()
      case 'return':
        return this.#return(at)
      case 'removal':
        return this.#removal()
      case 'correction':
        return this.#correction(at)
      case 'price':
        return this.#price(at)
      case 'registration':
        return this.#register(at)
      case 'move':
        return this.#move(at)
      case 'transfer':
        return this.#transfer()
    }
  }

  #order(at: Date): Operation {
    const customer = this.#customers.at(this.#random.skewed(this.#customers.size))
    const sale = makeSale(this.#random, this.#reference, customer.home)
    const lines = makeLines(this.#random, this.#reference.products, 1)
    const id = this.#ids.next('order')
    const numbered = lines.map(line => ({ ...line, id: this.#ids.next('item') }))
    this.#open.add({ id, status: 'created', items: numbered }, this.#random)
    this.#touched.add(`order ${id}`)
    return { kind: 'order', id, customer: customer.id, sale, lines: numbered, at }
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
    const order = this.#take(this.#settled)
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
    const territory = this.#random.pick(this.#reference.territories).id
    return { kind: 'correction', order: order.id, territory, days: this.#random.integer(0, 3), at }
  }

  #price(at: Date): Operation | undefined {
    const product = this.#random.pick(this.#reference.products)
    if (!this.#touch(`product ${product.id}`)) return undefined
    const factor = 0.9 + 0.2 * this.#random.fraction()
    product.cents = Math.max(50, Math.round(product.cents * factor))
    product.costCents = Math.min(product.costCents, product.cents)
    return { kind: 'price', product: product.id, cents: product.cents, costCents: product.costCents, at }
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

  #transfer(): Operation | undefined {
    const sellers = this.#random.pick(this.#reference.territories).sellers
    if (sellers.length === 0) return undefined
    const employee = this.#random.pick(sellers)
    const territory = this.#random.pick(this.#reference.territories).id
    return this.#touch(`employee ${employee}`) ? { kind: 'transfer', employee, territory } : undefined
  }

  /** Takes a random order out; undefined when there is none that the batch has not changed yet. */
  #take(orders: Bounded<KnownOrder>): KnownOrder | undefined {
    if (orders.size === 0) return undefined
    const index = this.#random.integer(0, orders.size - 1)
    return this.#touch(`order ${orders.at(index).id}`) ? orders.remove(index) : undefined
  }

  #touch(row: string): boolean {
    if (this.#touched.has(row)) return false
    this.#touched.add(row)
    return true
  }
}
