// generator/shop/staff-and-prices: occasional changes of prices and employees.
// Pure.

import type { CatalogState } from './catalog-state.ts'
import type { IdSource, ReferenceChange } from './operation.ts'
import { personName } from './person.ts'
import type { Random } from './random.ts'

/** Limits of the number of sellers of a territory. */
const crew = { least: 3, most: 12 }

interface ChangeContext {
  readonly random: Random
  readonly catalog: CatalogState
  readonly ids: IdSource
  /** False if this batch has already changed the row. */
  touch(row: string): boolean
}

/** Each returns its operation, applied to the catalog, or undefined if it is not possible. */
export class StaffAndPrices {
  readonly #context: ChangeContext

  constructor(context: ChangeContext) {
    this.#context = context
  }

  price(at: Date): ReferenceChange | undefined {
    const { random, catalog, touch } = this.#context
    const product = random.pick(catalog.products)
    if (!touch(`product ${product.id}`)) return undefined
    const factor = 0.9 + 0.2 * random.fraction()
    const cents = Math.max(50, Math.round(product.cents * factor))
    return this.#apply({ kind: 'price', product: product.id, cents, costCents: Math.min(product.costCents, cents), at })
  }

  transfer(at: Date): ReferenceChange | undefined {
    const { random, catalog, touch } = this.#context
    const sellers = catalog.sellers(random.pick(catalog.territories), at)
    if (sellers.length === 0) return undefined
    const employee = random.pick(sellers).id
    const territory = random.pick(catalog.territories).id
    return touch(`employee ${employee}`) ? this.#apply({ kind: 'transfer', employee, territory }) : undefined
  }

  hire(at: Date): ReferenceChange | undefined {
    const { random, catalog, ids, touch } = this.#context
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
    const { random, catalog, touch } = this.#context
    const sellers = catalog.sellers(random.pick(catalog.territories), at)
    if (sellers.length <= crew.least) return undefined
    const employee = random.pick(sellers).id
    return touch(`employee ${employee}`) ? this.#apply({ kind: 'departure', employee, at }) : undefined
  }

  #apply(change: ReferenceChange): ReferenceChange {
    this.#context.catalog.apply(change)
    return change
  }
}
