// generator/shop/catalog-state: the shop's current reference data, and its changes.
// Pure.

import type { ReferenceChange } from './operation.ts'
import type { Product, Reference, SalesTerritory, TrafficSource } from './reference.ts'
import { type Employment, present } from './staff.ts'

type Changeable<Row> = { -readonly [Key in keyof Row]: Row[Key] }

export class CatalogState implements Reference {
  readonly territories: Changeable<SalesTerritory>[]
  readonly products: Changeable<Product>[]
  readonly trafficSources: readonly TrafficSource[]

  constructor({ territories, products, trafficSources }: Reference) {
    this.territories = territories.map(territory => ({ ...territory }))
    this.products = products.map(product => ({ ...product }))
    this.trafficSources = trafficSources
  }

  apply(change: ReferenceChange): void {
    switch (change.kind) {
      case 'price':
        for (const product of this.products.filter(({ id }) => id === change.product)) {
          product.cents = change.cents
          product.costCents = change.costCents
        }
        break
      case 'hiring':
        this.#join(change.employee.territory, { id: change.employee.id, from: change.employee.hired })
        break
      case 'departure':
        this.#leave(change.employee)
        break
      case 'transfer':
        this.#join(change.territory, { id: change.employee, from: this.#leave(change.employee)?.from ?? 0 })
        break
      case 'handover':
        for (const territory of this.territories) {
          const others = territory.shops.filter(shop => shop !== change.shop)
          territory.shops = territory.id === change.territory ? [...others, change.shop] : others
        }
        break
      case 'renaming':
        for (const territory of this.territories) if (territory.id === change.territory) territory.name = change.name
        break
    }
  }

  /** The sellers of the territory at that time, without its manager, who never leaves. */
  sellers(territory: SalesTerritory, at: Date): Employment[] {
    return present(territory.staff, at.getTime()).slice(1)
  }

  #join(territory: number, { id, from }: { id: number; from: number }): void {
    const joined = this.territories.find(each => each.id === territory)
    if (joined) joined.staff = [...joined.staff, { id, from, until: Number.POSITIVE_INFINITY }]
  }

  #leave(employee: number): Employment | undefined {
    let left: Employment | undefined
    for (const territory of this.territories) {
      left ??= territory.staff.find(({ id }) => id === employee)
      territory.staff = territory.staff.filter(({ id }) => id !== employee)
    }
    return left
  }
}
