// generator/basket: who buys what, where and from whom.
// May know: generator/{random,reference,world}. Pure.

import { cumulate, type Random } from './random.ts'
import type { Product, Reference } from './reference.ts'
import { trafficSources } from './world.ts'

export interface Sale {
  readonly shop: number
  readonly employee: number | null
  readonly territory: number
  readonly trafficSource: number | null
}

export interface Line {
  readonly product: number
  readonly quantity: number
  readonly cents: number
  readonly costCents: number
}

const onlineShare = 0.6
/** Chance that somebody buys outside the territory they live in. */
const travelShare = 0.06
/** Share of orders by number of lines, one line first; a bit more than three on average. */
const lineTotals = cumulate([18, 20, 22, 18, 13, 9])
const quantityTotals = cumulate([70, 20, 7, 3])
const sourceTotals = cumulate(trafficSources.map(({ weight }) => weight))

/** The circumstances of an order by somebody who lives in the territory with this index. */
export function makeSale(random: Random, reference: Reference, home: number): Sale {
  const { territories } = reference
  const territory = random.chance(travelShare) ? random.pick(territories) : territories[home % territories.length]!
  if (territory.shops.length === 0 || random.chance(onlineShare)) {
    const source = reference.trafficSources[random.weighted(sourceTotals) % reference.trafficSources.length]!
    return { shop: territory.onlineShop, employee: null, territory: territory.id, trafficSource: source }
  }
  const employee = territory.sellers.length === 0 ? null : random.pick(territory.sellers)
  return { shop: random.pick(territory.shops), employee, territory: territory.id, trafficSource: null }
}

/** One to six lines; the first products of the list are the best sellers. `priceLevel` is 1 for today's prices. */
export function makeLines(random: Random, products: readonly Product[], priceLevel: number): Line[] {
  return Array.from({ length: random.weighted(lineTotals) + 1 }, () => {
    const { id, cents, costCents } = products[shuffled(random.skewed(products.length), products.length)]!
    return {
      product: id,
      quantity: random.weighted(quantityTotals) + 1,
      cents: Math.round(cents * priceLevel),
      costCents: Math.round(costCents * priceLevel),
    }
  })
}

/** Spreads ranks over the list, so that best sellers stand in every category: 7919 is prime, hence a permutation. */
function shuffled(rank: number, count: number): number {
  return (rank * 7919) % count
}
