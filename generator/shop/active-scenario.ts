// generator/shop/active-scenario: the scenario that is under way: its beginning, its end, and what they still have to change.
// Pure.

import type { Floor } from './catalog-state.ts'
import type { FloorChange } from './operation.ts'
import { changedRow, type Mood } from './scenario-effects.ts'

export class Course {
  readonly #floor: Floor
  #mood: Mood | undefined
  /** The scenario that has ended, while what its end changes may not be in the shop yet. */
  #ending: Mood | undefined
  #waiting: FloorChange[] = []

  constructor(floor: Floor) {
    this.#floor = floor
  }

  get mood(): Mood | undefined {
    return this.#mood
  }

  /** The scenario that another life has to go on with when what this one did last may be lost. */
  get unfinished(): Mood | undefined {
    return this.#mood ?? this.#ending
  }

  /** Also for one that an earlier life began: what it begins with is set once more. */
  begin(mood: Mood): void {
    this.#mood = mood
    this.#enqueue(mood.first)
  }

  end(at: Date): void {
    if (this.#mood === undefined) return
    this.#enqueue(this.#mood.last(at))
    this.#ending = { ...this.#mood, until: at.getTime() }
    this.#mood = undefined
  }

  /** What waits to be changed, for the next batch; the rows that the batch changes already have to wait for another. */
  take(touch: (row: string) => boolean): FloorChange[] {
    if (this.#waiting.length === 0) this.#ending = undefined
    const taken: FloorChange[] = []
    const left: FloorChange[] = []
    for (const change of this.#waiting) {
      const into = touch(changedRow(change)) ? taken : left
      into.push(change)
    }
    this.#waiting = left
    return taken
  }

  /** They count from now on, so that the next scenario begins with what this one leaves. */
  #enqueue(changes: readonly FloorChange[]): void {
    for (const change of changes) this.#floor.apply(change)
    this.#waiting.push(...changes)
  }
}
