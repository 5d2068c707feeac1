// generator/reference: what a new order may refer to, as it stands in the shop.
// May know: postgres/connect, generator/{random,seed,world}.

import { type Client, query } from '../postgres/connect.ts'
import { onlineSuffix } from './seed.ts'

export interface SalesTerritory {
  readonly id: number
  readonly country: string
  readonly onlineShop: number
  readonly shops: readonly number[]
  readonly sellers: readonly number[]
}

export interface Product {
  readonly id: number
  cents: number
  costCents: number
}

/** Ids as they are in Postgres. Territories in the order of `world.territories`. */
export interface Reference {
  readonly territories: readonly SalesTerritory[]
  readonly products: readonly Product[]
  readonly trafficSources: readonly number[]
}

/** Reads the seed set; undefined when there is none. @throws {MillraceError} POSTGRES_* */
export async function loadReference(client: Client): Promise<Reference | undefined> {
  const territories = await query<SalesTerritory>(
    client,
    `SELECT t.sales_territory_id AS id, t.country,
  (SELECT min(shop_id) FROM shop.shops s WHERE s.sales_territory_id = t.sales_territory_id AND s.name LIKE '%' || $1) AS "onlineShop",
  ARRAY(SELECT shop_id FROM shop.shops s WHERE s.sales_territory_id = t.sales_territory_id AND s.name NOT LIKE '%' || $1 ORDER BY 1) AS shops,
  ARRAY(SELECT employee_id FROM shop.employees e WHERE e.sales_territory_id = t.sales_territory_id AND left_on IS NULL ORDER BY 1) AS sellers
FROM shop.sales_territories t ORDER BY 1`,
    [onlineSuffix],
  )
  const products = await query<Product>(
    client,
    `SELECT product_id AS id, (price * 100)::integer AS cents, (cost_price * 100)::integer AS "costCents"
FROM shop.products WHERE active ORDER BY 1`,
  )
  const sources = await query<{ id: number }>(
    client,
    'SELECT traffic_source_id AS id FROM shop.traffic_sources ORDER BY 1',
  )
  if (territories.length === 0) return undefined
  return { territories, products, trafficSources: sources.map(({ id }) => id) }
}
