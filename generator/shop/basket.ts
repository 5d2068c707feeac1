// generator/shop/basket: draws the products, shop and employee of an order.
// Pure.

import { cumulate, type Random } from './random.ts'
import type { Product, Reference } from './reference.ts'
import { present } from './staff.ts'

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
  /** Share of the product's orders that are returned. */
  readonly returnShare: number
}

/** Orders that are placed in the online shop. */
export const onlineShare = 0.6
/** Chance that a customer buys outside their home territory. */
const travelShare = 0.06
/** Share of orders by number of lines, from one line on; the average is a little above three. */
const lineTotals = cumulate([18, 20, 22, 18, 13, 9])
const quantityTotals = cumulate([70, 20, 7, 3])

/** Draws a traffic source by its share of the online orders. */
function drawSource(random: Random, { trafficSources }: Reference): number | null {
  if (trafficSources.length === 0) return null
  return trafficSources[random.weighted(cumulate(trafficSources.map(({ weight }) => weight)))]!.id
}

/** Shop, employee and traffic source of an order by a customer of the territory with this index. */
export function makeSale(random: Random, reference: Reference, home: number, at: number): Sale {
  const { territories } = reference
  const territory = random.chance(travelShare) ? random.pick(territories) : territories[home % territories.length]!
  if (territory.shops.length === 0 || random.chance(onlineShare)) {
    const source = drawSource(random, reference)
    return { shop: territory.onlineShop, employee: null, territory: territory.id, trafficSource: source }
  }
  const sellers = present(territory.staff, at)
  const employee = sellers.length === 0 ? null : random.pick(sellers).id
  return { shop: random.pick(territory.shops), employee, territory: territory.id, trafficSource: null }
}

/**
 * One to six lines; the first products of the list are the best sellers. `level` is 1 for a product
 * at today's price.
 */
export function makeLines(
  random: Random,
  products: readonly Product[],
  level: (product: number) => number = () => 1,
): Line[] {
  return Array.from({ length: random.weighted(lineTotals) + 1 }, () => {
    const { id, cents, costCents, returnShare } = products[shuffled(random.skewed(products.length), products.length)]!
    const priceLevel = level(id)
    return {
      product: id,
      quantity: random.weighted(quantityTotals) + 1,
      cents: Math.round(cents * priceLevel),
      costCents: Math.round(costCents * priceLevel),
      returnShare,
    }
  })
}

/** Chance that an order of these lines is returned. */
export function returnChance(lines: readonly Line[]): number {
  return lines.reduce((sum, { returnShare }) => sum + returnShare, 0) / Math.max(1, lines.length)
}

/** Spreads ranks over all categories. It is a permutation, because 7919 is prime. */
function shuffled(rank: number, count: number): number {
  return (rank * 7919) % count
}
