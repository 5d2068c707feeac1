// generator/shop/active-scenario: the running scenario and the changes that its start and end make.
// Pure.

import type { CatalogState } from './catalog-state.ts'
import type { ReferenceChange } from './operation.ts'
import { changedRow, type ScenarioEffects } from './scenario-effects.ts'

export class ActiveScenario {
  readonly #catalog: CatalogState
  #effects: ScenarioEffects | undefined
  /** The ended scenario, until the changes of its end are in the shop. */
  #ending: ScenarioEffects | undefined
  #waiting: ReferenceChange[] = []

  constructor(catalog: CatalogState) {
    this.#catalog = catalog
  }

  get effects(): ScenarioEffects | undefined {
    return this.#effects
  }

  /** The scenario that a new simulation must continue if the last changes of this one are lost. */
  get unfinished(): ScenarioEffects | undefined {
    return this.#effects ?? this.#ending
  }

  /**
   * Starts a scenario, or continues one of an earlier simulation; the changes of its start are
   * repeated.
   */
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

  /**
   * The waiting changes for the next batch, except those of rows that the batch changes already.
   */
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

  /**
   * Applies the operations to the catalog now, so that the next scenario starts from the result.
   */
  #enqueue(changes: readonly ReferenceChange[]): void {
    for (const change of changes) this.#catalog.apply(change)
    this.#waiting.push(...changes)
  }
}
