// generator/shop/visits: the visits of the online shop, with their sources and costs.
// Pure: returns rows and runs nothing.

import type { Cell } from '../../postgres/client/copy-in.ts'
import { onlineShare } from './basket.ts'
import { cumulate, type Random } from './random.ts'
import type { Product, Reference, TrafficSource } from './reference.ts'
import { money } from './seed.ts'

export interface Visit {
  /** Null for a visitor who is not signed in. */
  readonly customer: number | null
  readonly source: number
  /** Milliseconds since the Unix epoch. */
  readonly at: number
  readonly page: string
  readonly cents: number
}

export const visitColumns = ['customer_id', 'traffic_source_id', 'visited_at', 'landing_page', 'cost'] as const

export function visitCells({ customer, source, at, page, cents }: Visit): Cell[] {
  return [customer, source, new Date(at).toISOString(), page, money(cents)]
}

const minute = 60_000
/** Share of the visits without an order whose visitor is signed in. */
const signedInShare = 0.2

export class Traffic {
  readonly #random: Random
  readonly #products: readonly Product[]
  readonly #sources: ReadonlyMap<number, TrafficSource>
  readonly #idle: readonly { readonly source: TrafficSource; readonly perOrder: number }[]
  readonly #idleTotals: readonly number[]

  /**
   * @param perOrder visits per order, also for orders in local shops. Each online order has its own
   *   visit. The other visits are distributed by the conversion of the sources.
   */
  constructor(random: Random, { products, trafficSources }: Reference, perOrder: number) {
    this.#random = random
    this.#products = products
    this.#sources = new Map(trafficSources.map(source => [source.id, source]))
    const weight = trafficSources.reduce((sum, source) => sum + source.weight, 0)
    const idle = trafficSources.map(source => (source.weight / weight) * (1 / source.conversion - 1))
    const scale = Math.max(0, perOrder - onlineShare) / idle.reduce((sum, share) => sum + share, 0)
    this.#idle = trafficSources.map((source, index) => ({ source, perOrder: scale * idle[index]! }))
    this.#idleTotals = cumulate(idle)
  }

  /** The visit that ended in an order, never before `earliest`. */
  purchase(sale: {
    readonly customer: number
    readonly source: number
    readonly at: number
    readonly earliest: number
  }): Visit {
    const at = Math.max(sale.earliest, sale.at - this.#random.integer(1, 25) * minute)
    return this.#visit(this.#sources.get(sale.source)!, sale.customer, at)
  }

  /** The average visits without an order per order, within an hour after it, and before `until`. */
  *idleAround(at: number, until: number, customer: () => number): Generator<Visit> {
    for (const { source, perOrder } of this.#idle) {
      const count = Math.floor(perOrder) + (this.#random.chance(perOrder % 1) ? 1 : 0)
      for (let made = 0; made < count; made++) {
        const time = Math.min(until - 1, at + this.#random.integer(0, 60 * minute))
        yield this.#idleVisit(source, time, customer)
      }
    }
  }

  /** One visit without an order. */
  idle(at: number, customer: () => number): Visit {
    return this.#idleVisit(this.#idle[this.#random.weighted(this.#idleTotals)]!.source, at, customer)
  }

  /** One visit from this source without an order. */
  from(source: number, at: number, customer: () => number): Visit {
    return this.#idleVisit(this.#sources.get(source)!, at, customer)
  }

  #idleVisit(source: TrafficSource, at: number, customer: () => number): Visit {
    return this.#visit(source, this.#random.chance(signedInShare) ? customer() : null, at)
  }

  #visit(source: TrafficSource, customer: number | null, at: number): Visit {
    const cents = Math.round(source.cents * (0.5 + this.#random.fraction()))
    return { customer, source: source.id, at, page: this.#page(source), cents }
  }

  /** Direct visitors start at the home page, others at the page of their link. */
  #page({ channel }: TrafficSource): string {
    const deep = { direct: 0.25, search: 0.8, email: 0.6, social: 0.7, partner: 0.9 }[channel]
    if (!this.#random.chance(deep)) return channel === 'email' ? '/news' : '/'
    const product = this.#random.pick(this.#products)
    return this.#random.chance(0.6) ? `/product/${product.id}` : `/category/${product.category.toLowerCase()}`
  }
}
