// generator/shop/reference: the reference data in Postgres that orders refer to.

import { type Client, query } from '../../postgres/client/client.ts'
import { onlineSuffix } from './seed.ts'
import { categories, type TrafficRates, trafficSources } from './shop-constants.ts'
import type { Employment } from './staff.ts'

export interface SalesTerritory {
  readonly id: number
  readonly name: string
  readonly onlineShop: number
  /** Local shops, without the online shop. */
  readonly shops: readonly number[]
  readonly staff: readonly Employment[]
}

export interface Product {
  readonly id: number
  readonly cents: number
  readonly costCents: number
  /** Name of the top category. */
  readonly category: string
  /** Share of its delivered orders that are returned. */
  readonly returnShare: number
}

export interface TrafficSource extends TrafficRates {
  readonly id: number
  readonly name: string
}

/** Ids of Postgres. Territories are in the order of the constants. */
export interface Reference {
  readonly territories: readonly SalesTerritory[]
  readonly products: readonly Product[]
  readonly trafficSources: readonly TrafficSource[]
}

/** Return share of categories that are not in the constants. */
const usualReturnShare = 0.04
/** Conversion of traffic sources that are not in the constants. */
const usualTraffic = { weight: 2, conversion: 0.02, cents: 0 }

/** Reads the reference data; undefined if there is none. @throws {MillraceError} POSTGRES_* */
export async function loadReference(client: Client): Promise<Reference | undefined> {
  const territories = await query<Omit<SalesTerritory, 'staff'>>(
    client,
    `SELECT t.sales_territory_id AS id, t.name,
  (SELECT min(shop_id) FROM shop.shops s WHERE s.sales_territory_id = t.sales_territory_id AND s.name LIKE '%' || $1) AS "onlineShop",
  ARRAY(SELECT shop_id FROM shop.shops s WHERE s.sales_territory_id = t.sales_territory_id AND s.name NOT LIKE '%' || $1 ORDER BY 1) AS shops
FROM shop.sales_territories t ORDER BY 1`,
    [onlineSuffix],
  )
  if (territories.length === 0) return undefined
  const staff = await query<{ id: number; territory: number; from: number; until: number | null }>(
    client,
    `SELECT employee_id AS id, sales_territory_id AS territory, extract(epoch FROM hired_on)::float8 * 1000 AS from,
  extract(epoch FROM left_on)::float8 * 1000 AS until
FROM shop.employees ORDER BY 1`,
  )
  return {
    territories: territories.map(territory => ({
      ...territory,
      staff: staff
        .filter(({ territory: id }) => id === territory.id)
        .map(({ id, from, until }) => ({ id, from, until: until ?? Number.POSITIVE_INFINITY })),
    })),
    products: await loadProducts(client),
    trafficSources: await loadTrafficSources(client),
  }
}

async function loadProducts(client: Client): Promise<Product[]> {
  const rows = await query<Omit<Product, 'returnShare'>>(
    client,
    `SELECT p.product_id AS id, (p.price * 100)::float8 AS cents, (p.cost_price * 100)::float8 AS "costCents",
  coalesce(parent.name, c.name) AS category
FROM shop.products p JOIN shop.categories c USING (category_id) LEFT JOIN shop.categories parent ON parent.category_id = c.parent_id
WHERE p.active ORDER BY 1`,
  )
  const shares = new Map(categories.map(({ name, returnShare }) => [name, returnShare]))
  return rows.map(row => ({ ...row, returnShare: shares.get(row.category) ?? usualReturnShare }))
}

async function loadTrafficSources(client: Client): Promise<TrafficSource[]> {
  const rows = await query<Pick<TrafficSource, 'id' | 'name' | 'channel'>>(
    client,
    'SELECT traffic_source_id AS id, name, channel FROM shop.traffic_sources ORDER BY 1',
  )
  return rows.map(row => ({ ...usualTraffic, ...trafficSources.find(({ name }) => name === row.name), ...row }))
}
