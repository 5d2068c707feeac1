// generator/shop/prices: the past prices of each product: occasional steps, more often up than
// down.
// Pure.

import type { Span } from './calendar.ts'
import { Random } from './random.ts'

const meanBetween = 170 * 86_400_000

interface Step {
  readonly at: number
  /** Price before the step, as a multiple of the price at the end of the span. */
  readonly before: number
}

/** The steps depend only on the seed and the product, not on the order of the calls. */
export class PriceHistory {
  readonly #seed: number
  readonly #span: Span
  /** By product id, the latest step first. */
  readonly #steps = new Map<number, readonly Step[]>()

  constructor(seed: number, span: Span) {
    this.#seed = seed
    this.#span = span
  }

  /** Price of the product at that time, as a multiple of the price at the end of the span. */
  level(product: number, at: number): number {
    let level = 1
    for (const step of this.#of(product)) {
      if (step.at <= at) break
      level = step.before
    }
    return level
  }

  /** Time of the product's last price change. */
  lastChange(product: number): number {
    return this.#of(product)[0]?.at ?? this.#span.from
  }

  #of(product: number): readonly Step[] {
    const known = this.#steps.get(product)
    if (known !== undefined) return known
    const random = new Random(this.#seed, `price of product ${product}`)
    const steps: Step[] = []
    let before = 1
    let at = Math.floor(this.#span.until - random.waiting(meanBetween))
    while (at > this.#span.from) {
      before /= 0.96 + 0.12 * random.fraction()
      steps.push({ at, before })
      at = Math.floor(at - random.waiting(meanBetween))
    }
    this.#steps.set(product, steps)
    return steps
  }
}
