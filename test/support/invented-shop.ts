// test/support/invented-shop: the generator's shop as it stands in Postgres, without Postgres.

import type { Identity, IdSource, Operation } from '../../generator/shop/operation.ts'
import type { Reference } from '../../generator/shop/reference.ts'
import { categories, territories, trafficSources } from '../../generator/shop/shop-constants.ts'
import { ShopSimulation, type Situation } from '../../generator/shop/shop-simulation.ts'
import { makeStaff } from '../../generator/shop/staff.ts'

export const until = Date.UTC(2025, 10, 21, 9)
export const span = { from: Date.UTC(2023, 10, 21, 9), until }

export const reference: Reference = {
  territories: territories.map(({ name }, index) => ({
    id: index + 1,
    name,
    onlineShop: 4 * index + 1,
    shops: [4 * index + 2],
    staff: makeStaff(1, span).stints[index]!,
  })),
  products: Array.from({ length: 200 }, (_, index) => {
    const { name, returnShare } = categories[index % categories.length]!
    return { id: index + 1, cents: 1000 + index, costCents: 500 + index, category: name, returnShare }
  }),
  trafficSources: trafficSources.map((source, index) => ({ ...source, id: index + 1 })),
}

/** Ids as the sequences of Postgres would give them. */
export function counter(): IdSource {
  const last: Record<Identity, number> = { order: 1000, item: 3000, customer: 500, employee: 5000 }
  return { next: of => ++last[of], has: () => true }
}

/** A hundred customers, and no orders. */
export function situation(): Situation {
  const customers = Array.from({ length: 100 }, (_, index) => ({ id: index + 1, home: index % 12 }))
  return { reference, customers, open: [], settled: [] }
}

/** Batches of a new life. */
export function live(seed: number, batches: number, rows = 40): Operation[][] {
  const simulation = new ShopSimulation(seed, situation(), counter())
  return Array.from({ length: batches }, (_, index) => simulation.batch(rows, new Date(until + index * 20)))
}
