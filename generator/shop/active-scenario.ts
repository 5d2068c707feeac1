// generator/shop/active-scenario: the scenario that is under way: its beginning, its end, and what they still have to change.
// Pure.

import type { CatalogState } from './catalog-state.ts'
import type { ReferenceChange } from './operation.ts'
import { changedRow, type ScenarioEffects } from './scenario-effects.ts'

export class ActiveScenario {
  readonly #catalog: CatalogState
  #effects: ScenarioEffects | undefined
  /** The scenario that has ended, while what its end changes may not be in the shop yet. */
  #ending: ScenarioEffects | undefined
  #waiting: ReferenceChange[] = []

  constructor(catalog: CatalogState) {
    this.#catalog = catalog
  }

  get effects(): ScenarioEffects | undefined {
    return this.#effects
  }

  /** The scenario that another life has to go on with when what this one did last may be lost. */
  get unfinished(): ScenarioEffects | undefined {
    return this.#effects ?? this.#ending
  }

  /** Also for one that an earlier life began: what it begins with is set once more. */
  begin(effects: ScenarioEffects): void {
    this.#effects = effects
    this.#enqueue(effects.first)
  }

  end(at: Date): void {
    if (this.#effects === undefined) return
    this.#enqueue(this.#effects.last(at))
    this.#ending = { ...this.#effects, until: at.getTime() }
    this.#effects = undefined
  }

  /** What waits to be changed, for the next batch; the rows that the batch changes already have to wait for another. */
  take(touch: (row: string) => boolean): ReferenceChange[] {
    if (this.#waiting.length === 0) this.#ending = undefined
    const taken: ReferenceChange[] = []
    const left: ReferenceChange[] = []
    for (const change of this.#waiting) {
      const into = touch(changedRow(change)) ? taken : left
      into.push(change)
    }
    this.#waiting = left
    return taken
  }

  /** They count from now on, so that the next scenario begins with what this one leaves. */
  #enqueue(changes: readonly ReferenceChange[]): void {
    for (const change of changes) this.#catalog.apply(change)
    this.#waiting.push(...changes)
  }
}
