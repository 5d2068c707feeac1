// generator/shop/seed: the rows of the reference tables, the same for the same seed.
// Pure: returns rows and runs nothing.

import type { Cell } from '../../postgres/client/copy-in.ts'
import type { Span } from './calendar.ts'
import { PriceHistory } from './prices.ts'
import { Random } from './random.ts'
import { categories, territories, trafficSources } from './shop-constants.ts'
import { dateText, employeeColumns, makeStaff } from './staff.ts'

export interface SeedTable {
  readonly table: string
  /** The first column is the generated id, from 1 on. */
  readonly columns: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
}

const productsPerSubcategory = 16
const adjectives = ['Plain', 'Classic', 'Light', 'Grand', 'Compact', 'Robust', 'Nordic', 'Travel', 'Folding', 'Fine']

/** The reference tables, in an order that satisfies foreign keys. */
export function seedTables(seed: number, span: Span): SeedTable[] {
  const random = new Random(seed, 'seed set')
  const opened = dateText(span.from)
  return [
    {
      table: 'shop.sales_territories',
      columns: ['sales_territory_id', 'name', 'region', 'country'],
      rows: territories.map(({ name, region, country }, index) => [index + 1, name, region, country]),
    },
    {
      table: 'shop.shops',
      columns: ['shop_id', 'name', 'city', 'sales_territory_id', 'opened_on'],
      rows: numbered(
        territories.flatMap(({ name, cities }, index) => [
          [`${name}${onlineSuffix}`, cities[0]!, index + 1, opened],
          ...cities.map(city => [`Mill & Son ${city}`, city, index + 1, opened]),
        ]),
      ),
    },
    {
      table: 'shop.employees',
      columns: employeeColumns,
      rows: makeStaff(seed, span).rows,
    },
    { table: 'shop.categories', columns: ['category_id', 'parent_id', 'name'], rows: categoryRows() },
    {
      table: 'shop.products',
      columns: ['product_id', 'name', 'category_id', 'price', 'cost_price', 'active', 'updated_at'],
      rows: products(random, new PriceHistory(seed, span)),
    },
    {
      table: 'shop.traffic_sources',
      columns: ['traffic_source_id', 'name', 'channel'],
      rows: trafficSources.map(({ name, channel }, index) => [index + 1, name, channel]),
    },
  ]
}

/** Suffix of the name of a territory's online shop. */
export const onlineSuffix = ' online'

/** Cents as the text of a numeric(15,2). */
export function money(cents: number): string {
  return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`
}

/** Parents come before their children. */
function categoryRows(): Cell[][] {
  const top = categories.map(({ name }): Cell[] => [null, name])
  const sub = categories.flatMap(({ subcategories }, parent) => subcategories.map(({ name }) => [parent + 1, name]))
  return numbered([...top, ...sub])
}

function products(random: Random, prices: PriceHistory): Cell[][] {
  const subcategories = categories.flatMap(category => category.subcategories)
  return numbered(
    subcategories.flatMap(({ cents: [least, most], nouns }, index) =>
      Array.from({ length: productsPerSubcategory }, (_, place) => {
        const price = Math.round(least * (most / least) ** random.fraction())
        const cost = Math.round(price * (0.45 + 0.3 * random.fraction()))
        const id = index * productsPerSubcategory + place + 1
        const updatedAt = new Date(prices.lastChange(id)).toISOString()
        const name = `${random.pick(adjectives)} ${nouns[place % nouns.length]} ${random.integer(100, 999)}`
        return [name, categories.length + index + 1, money(price), money(cost), true, updatedAt]
      }),
    ),
  )
}

function numbered(rows: readonly (readonly Cell[])[]): Cell[][] {
  return rows.map((row, index) => [index + 1, ...row])
}
