// generator/shop/bounded-pool: a set of limited size from which random items are taken.
// Pure.

import type { Random } from './random.ts'

export class BoundedPool<Item> {
  readonly #items: Item[]
  readonly #limit: number

  constructor(items: readonly Item[], limit: number) {
    this.#items = items.slice(0, limit)
    this.#limit = limit
  }

  get size(): number {
    return this.#items.length
  }

  get full(): boolean {
    return this.#items.length >= this.#limit
  }

  at(index: number): Item {
    return this.#items[index]!
  }

  /** If the pool is full, the new item replaces a random one. */
  add(item: Item, random: Random): void {
    if (this.full) this.#items[random.integer(0, this.#items.length - 1)] = item
    else this.#items.push(item)
  }

  replace(index: number, item: Item): void {
    this.#items[index] = item
  }

  /** The last item replaces the removed one. */
  remove(index: number): Item {
    const item = this.#items[index]!
    const last = this.#items.pop()!
    if (index < this.#items.length) this.#items[index] = last
    return item
  }
}
