// generator/shop/scenario-effects: how each scenario changes the simulation while it runs.
// Pure.

import { MillraceError } from '../../runtime/errors.ts'
import type { CatalogState } from './catalog-state.ts'
import type { ReferenceChange } from './operation.ts'
import type { Random } from './random.ts'
import type { Product } from './reference.ts'
import type { Scenario, ScenarioKind } from './scenario.ts'

export interface ScenarioEffects {
  readonly kind: ScenarioKind
  /** End of the scenario, in milliseconds since the Unix epoch. */
  readonly until: number
  /** Factor on the weight of each kind of event; 1 if missing. */
  readonly weights: Readonly<Record<string, number>>
  /** Factor on the rate of row changes. */
  readonly rateFactor: number
  /** The products that are ordered; all if undefined. */
  readonly products: readonly Product[] | undefined
  /** Traffic source of most visits and online orders. */
  readonly source: number | undefined
  /** Operations at the start. No two of them change the same row. */
  readonly first: readonly ReferenceChange[]
  /** Operations at the end. */
  last(at: Date): ReferenceChange[]
}

interface Effects
  extends Partial<Pick<ScenarioEffects, 'weights' | 'rateFactor' | 'products' | 'source' | 'first' | 'last'>> {}

/**
 * @throws {MillraceError} NOT_FOUND for a category or traffic source that the shop does not have
 */
export function scenarioEffects(
  scenario: Scenario,
  { random, catalog, at }: { random: Random; catalog: CatalogState; at: Date },
): ScenarioEffects {
  const until = at.getTime() + scenario.seconds * 1000
  const usual = { weights: {}, rateFactor: 1, products: undefined, source: undefined, first: [], last: () => [] }
  return { kind: scenario.kind, until, ...usual, ...effectsOf(scenario, random, catalog, at) }
}

function effectsOf(scenario: Scenario, random: Random, catalog: CatalogState, at: Date): Effects {
  switch (scenario.kind) {
    case 'flash_sale':
      return flashSale(scenario, random, catalog, at)
    case 'returns_wave':
      return { weights: { return: 30 } }
    case 'price_review':
      return { weights: { price: 20 } }
    case 'campaign': {
      const source = named(catalog.trafficSources, scenario.traffic_source, ['traffic source', random])
      return { weights: { visit: 8, order: 1.5 }, rateFactor: 2, source: source.id }
    }
    case 'territory_reorganisation':
      return {
        weights: { transfer: 30, hiring: 10, departure: 10 },
        first: reorganise(scenario.moves, random, catalog, at),
      }
  }
}

function flashSale(
  { category, discount }: Extract<Scenario, { kind: 'flash_sale' }>,
  random: Random,
  catalog: CatalogState,
  at: Date,
): Effects {
  const categories = [...new Set(catalog.products.map(product => product.category))].map(name => ({ name }))
  const chosen = named(categories, category, ['category', random])
  const products = catalog.products.filter(product => product.category === chosen.name)
  const before = products.map(({ id, cents, costCents }) => ({ product: id, cents, costCents }))
  const first = before.map(price => {
    const cents = Math.max(1, Math.round((price.cents * (100 - discount)) / 100))
    return { ...price, kind: 'price' as const, cents, at }
  })
  const last = (end: Date) => before.map(price => ({ ...price, kind: 'price' as const, at: end }))
  return { weights: { order: 3, visit: 3, price: 0 }, rateFactor: 3, products, first, last }
}

function reorganise(moves: number, random: Random, catalog: CatalogState, at: Date): ReferenceChange[] {
  const territories = catalog.territories
  const renamed = random.pick(territories)
  const shops = shuffle(
    random,
    territories.flatMap(territory => territory.shops),
  ).slice(0, moves)
  const people = shuffle(
    random,
    territories.flatMap(territory => catalog.sellers(territory, at)),
  ).slice(0, moves)
  return [
    {
      kind: 'renaming',
      territory: renamed.id,
      name: newName(
        renamed.name,
        territories.map(({ name }) => name),
      ),
    },
    ...shops.map(shop => ({ kind: 'handover' as const, shop, territory: random.pick(territories).id })),
    ...people.map(({ id }) => ({ kind: 'transfer' as const, employee: id, territory: random.pick(territories).id })),
  ]
}

/** `North`, then `North II`, `North III` and so on; never the name of another territory. */
function newName(name: string, taken: readonly string[]): string {
  const base = name.replace(/ [IVXLCDM]+$/, '')
  for (let number = 2; ; number++) {
    const candidate = `${base} ${roman(number)}`
    if (!taken.includes(candidate) && candidate !== name) return candidate
  }
}

function roman(number: number): string {
  const letters: readonly (readonly [number, string])[] = [
    [50, 'L'],
    [40, 'XL'],
    [10, 'X'],
    [9, 'IX'],
    [5, 'V'],
    [4, 'IV'],
    [1, 'I'],
  ]
  const [value, letter] = letters.find(([least]) => least <= number) ?? [number, '']
  return number === 0 ? '' : letter + roman(number - value)
}

/** The row of this name, or a random row without a name. */
function named<Row extends { readonly name: string }>(
  rows: readonly Row[],
  name: string | undefined,
  [what, random]: readonly [what: string, random: Random],
): Row {
  const found = name === undefined && rows.length > 0 ? random.pick(rows) : rows.find(row => row.name === name)
  if (found !== undefined) return found
  throw new MillraceError('NOT_FOUND', {
    what: `the shop has no ${what}${name === undefined ? '' : ` "${name}"`}`,
    next: `name one of: ${rows.map(row => row.name).join(', ') || '(there is none)'}`,
  })
}

function shuffle<Item>(random: Random, items: readonly Item[]): Item[] {
  const shuffled = [...items]
  for (let last = shuffled.length - 1; last > 0; last--) {
    const other = random.integer(0, last)
    ;[shuffled[last], shuffled[other]] = [shuffled[other]!, shuffled[last]!]
  }
  return shuffled
}

/** The row that is changed. */
export function changedRow(change: ReferenceChange): string {
  switch (change.kind) {
    case 'price':
      return `product ${change.product}`
    case 'hiring':
      return `employee ${change.employee.id}`
    case 'departure':
    case 'transfer':
      return `employee ${change.employee}`
    case 'handover':
      return `shop ${change.shop}`
    case 'renaming':
      return `territory ${change.territory}`
  }
}
