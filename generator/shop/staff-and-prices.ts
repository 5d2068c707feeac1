// generator/shop/staff-and-prices: prices, and who works where: what changes now and then without a customer.
// Pure.

import type { CatalogState } from './catalog-state.ts'
import type { IdSource, ReferenceChange } from './operation.ts'
import { personName } from './person.ts'
import type { Random } from './random.ts'

/** Sellers of a territory, between which people are hired and leave. */
const crew = { least: 3, most: 12 }

interface Desk {
  readonly random: Random
  readonly catalog: CatalogState
  readonly ids: IdSource
  /** False when the row has been changed in this batch already. */
  touch(row: string): boolean
}

/** Each gives what happens, already applied to the catalog, or undefined where it cannot. */
export class BackOffice {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  price(at: Date): ReferenceChange | undefined {
    const { random, catalog, touch } = this.#desk
    const product = random.pick(catalog.products)
    if (!touch(`product ${product.id}`)) return undefined
    const factor = 0.9 + 0.2 * random.fraction()
    const cents = Math.max(50, Math.round(product.cents * factor))
    return this.#apply({ kind: 'price', product: product.id, cents, costCents: Math.min(product.costCents, cents), at })
  }

  transfer(at: Date): ReferenceChange | undefined {
    const { random, catalog, touch } = this.#desk
    const sellers = catalog.sellers(random.pick(catalog.territories), at)
    if (sellers.length === 0) return undefined
    const employee = random.pick(sellers).id
    const territory = random.pick(catalog.territories).id
    return touch(`employee ${employee}`) ? this.#apply({ kind: 'transfer', employee, territory }) : undefined
  }

  hire(at: Date): ReferenceChange | undefined {
    const { random, catalog, ids, touch } = this.#desk
    const { id: territory, staff } = random.pick(catalog.territories)
    if (staff.length > crew.most || !ids.has('employee')) return undefined
    const [manager] = staff
    const id = ids.next('employee')
    touch(`employee ${id}`)
    const employee = {
      id,
      name: personName(random),
      role: 'sales_person' as const,
      territory,
      manager: manager?.id ?? null,
      hired: at.getTime(),
      left: Number.POSITIVE_INFINITY,
    }
    return this.#apply({ kind: 'hiring', employee })
  }

  leave(at: Date): ReferenceChange | undefined {
    const { random, catalog, touch } = this.#desk
    const sellers = catalog.sellers(random.pick(catalog.territories), at)
    if (sellers.length <= crew.least) return undefined
    const employee = random.pick(sellers).id
    return touch(`employee ${employee}`) ? this.#apply({ kind: 'departure', employee, at }) : undefined
  }

  #apply(change: ReferenceChange): ReferenceChange {
    this.#desk.catalog.apply(change)
    return change
  }
}
