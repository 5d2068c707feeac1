// generator/shop/random: pseudo-random numbers from a seed.

/**
 * The generator sfc32: 32-bit numbers, 128 bits of state.
 * @see https://pracrand.sourceforge.net/RNG_engines.txt
 */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /** Different purposes get independent numbers from the same seed. */
  constructor(seed: number, purpose: string) {
    this.#a = seed | 0
    this.#b = Math.floor(seed / 0x1_0000_0000) | 0
    this.#c = [...purpose].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 0x01000193), 0x811c9dc5)
    for (let i = 0; i < 15; i++) this.bits()
  }

  /** 32 bits as an integer of 0 to 2^32 − 1. */
  bits(): number {
    const sum = (this.#a + this.#b + this.#counter++) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** At least 0 and below 1. */
  fraction(): number {
    return this.bits() / 0x1_0000_0000
  }

  /** An integer of `least` to `most`, both included. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.fraction() * (most - least + 1))
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.integer(0, items.length - 1)]!
  }

  /**
   * An index of 0 to `count` − 1. The first fifth of them gets three quarters of the draws, and
   * within it again the first fifth.
   */
  skewed(count: number): number {
    let size = count
    for (let level = 0; level < 2 && this.chance(0.69); level++) size = Math.ceil(size / 5)
    return this.integer(0, size - 1)
  }

  /** Index by weight; `cumulative` ascends, its last entry is the total. */
  weighted(cumulative: readonly number[]): number {
    const point = this.fraction() * cumulative[cumulative.length - 1]!
    let low = 0
    let high = cumulative.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (cumulative[middle]! > point) high = middle
      else low = middle + 1
    }
    return low
  }

  /** A waiting time with this mean, never 0 and never more than eight times the mean. */
  waiting(mean: number): number {
    return mean * Math.min(8, 0.02 - Math.log(1 - this.fraction()))
  }
}

/** Running totals of weights, for `weighted`. */
export function cumulate(weights: readonly number[]): number[] {
  let total = 0
  return weights.map(weight => (total += weight))
}
